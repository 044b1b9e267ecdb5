"""Full learning curves, recorded once, and the result that each pruning policy would have on them.

- `recordings`: the curves of a study, and their file;
- `record`: trains the missing curves of a study;
- `simulate`: pruners and other policies on the curves, in many orders of the trials;
- `report`: the tables.
"""
