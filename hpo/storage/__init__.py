"""Storages of studies: a journal file, or a database, whose outages are retried."""
