"""Text out of CTC log-probabilities: numpy only."""
