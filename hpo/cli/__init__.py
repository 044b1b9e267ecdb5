"""Shared parts of commands: flags, error messages, finding a study, terminal output."""
