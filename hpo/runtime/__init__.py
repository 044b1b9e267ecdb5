"""The process itself: signals, exit codes, logging."""
