"""Losses with a threshold for each user: their row functions, how thresholds change, and a training step of their own."""
