"""What several tests use: corpora on disk, and the command line."""
