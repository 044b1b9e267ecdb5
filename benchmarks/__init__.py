"""Measurements run by hand; RESULTS.md keeps what they gave."""
