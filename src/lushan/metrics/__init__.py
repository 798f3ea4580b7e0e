"""What predictions are worth: metrics, and the statistics of examples that they follow from."""
