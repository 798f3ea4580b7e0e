"""Statistics over examples and runs: bootstrap and tests of significance."""
