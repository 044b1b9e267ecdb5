"""Confirmation of a study in two stages, and the verdict on its rivals."""
