"""Studies: their files, their definitions in a storage, and their trials."""
