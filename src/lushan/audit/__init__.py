"""Audit of a data set: copies, labels, entities, lengths, damaged characters.

Plain functions over the splits' tables; no config and no torch.
"""
