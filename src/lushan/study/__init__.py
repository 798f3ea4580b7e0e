"""Results of many runs as tables, read from run folders alone, without torch."""
