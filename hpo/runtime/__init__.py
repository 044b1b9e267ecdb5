"""Signals, exit codes, logging, texts, and files with a format number."""
