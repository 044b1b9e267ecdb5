"""Ask for a trial, report, prune, tell, around the loop of `trainers.lanes`; workers, and the trials of dead ones."""
