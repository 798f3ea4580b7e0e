"""Examples as numbers, kept as memory-mapped Arrow files."""
