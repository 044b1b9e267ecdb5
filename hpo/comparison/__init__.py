"""Files of other programs, and finished runs of this one, as methods that can be compared; what the comparison says."""
