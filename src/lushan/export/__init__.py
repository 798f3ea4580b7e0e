"""A trained run as a folder that transformers reads, with the proof that it is the same model."""
