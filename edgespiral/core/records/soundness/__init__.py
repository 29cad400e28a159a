"""Whether a run can have written what its journal says."""
