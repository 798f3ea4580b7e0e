"""One observer a file: saving, recording, averaging, showing."""
