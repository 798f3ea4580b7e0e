"""From files to batches: sources, splits, encoded data, loaders."""
