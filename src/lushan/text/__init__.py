"""Text and its marks: tag schemes, tokenizers."""
