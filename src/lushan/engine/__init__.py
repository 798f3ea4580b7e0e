"""One run carried out: its life cycle, its components, training, evaluation, what it leaves."""
