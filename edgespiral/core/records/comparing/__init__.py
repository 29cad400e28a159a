"""Records that hold cuts and runs against each other."""
