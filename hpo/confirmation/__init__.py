"""Does the best config beat its rivals: two stages, and the verdict."""
