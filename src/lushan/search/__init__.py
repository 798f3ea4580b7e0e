"""A search over configs: Optuna proposes trials, each one is a run; imports no torch."""
