"""Metrics of trained vectors: accuracy by rank, measures beyond accuracy, and the shares of negatives in the gradient."""
