"""Training runs at full budget, trained once and kept."""
