"""Attention within documents, for rows that hold several."""
