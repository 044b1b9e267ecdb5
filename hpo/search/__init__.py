"""The search loop (ask, report, prune, tell) around `trainers.lanes`; workers, and the requeuing of lost trials."""
