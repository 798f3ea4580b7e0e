"""Data, from files to batches: sources, splits, encoded data, loaders."""
