"""The process itself: signals, exit codes, logging; files that are read again."""
