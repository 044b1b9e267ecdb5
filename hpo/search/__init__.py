"""Ask for a trial, train it, report, prune, tell: the loop, its workers, and what becomes of the trials of dead ones."""
