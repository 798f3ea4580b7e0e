"""Checkpoint folders: written whole, checked when read, in one file or in shards."""
