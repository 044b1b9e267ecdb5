"""Replay before belief: full learning curves, recorded once, and what each way to stop trials early would have made of them.

- `recordings`: a group of curves, one study's, and its file;
- `record`: trains what is missing of a group;
- `simulate`: pruners and other policies on the curves, in many orders of the trials;
- `report`: the tables.
"""
