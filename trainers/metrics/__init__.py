"""What vectors are worth: accuracy by rank, what lies beyond it, and which negatives a loss learns from."""
