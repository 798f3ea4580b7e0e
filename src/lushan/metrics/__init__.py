"""What predictions are worth: pure functions of counts over a whole split; no torch."""
