"""Training runs at full budget and their store."""
