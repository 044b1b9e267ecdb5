"""Measurements that are run by hand. RESULTS.md has their results."""
