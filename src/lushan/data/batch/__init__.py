"""Encoded examples as batches."""
