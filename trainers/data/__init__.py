"""Interactions and their sources: public datasets, your own files or tables, the demo."""

from trainers.data.interactions import Ids, Interactions, RawIds
from trainers.data.splits import Split, hold_out

__all__ = ["Ids", "Interactions", "RawIds", "Split", "hold_out"]
