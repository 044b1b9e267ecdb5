"""Interactions, and where they come from: public datasets, your own files, the demo."""

from trainers.data.interactions import Dataset, Ids, Interactions, hold_out

__all__ = ["Dataset", "Ids", "Interactions", "hold_out"]
