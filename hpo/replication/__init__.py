"""Tables of papers, and runs that replicate their rows."""
