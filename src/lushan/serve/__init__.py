"""Trained runs behind HTTP: OpenAI's interface for those that write, `/predict` for the others."""
