"""`explore` and `sweep`: more than one budget."""
