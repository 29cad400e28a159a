"""`edgespiral init`: a plan for a model and data that are looked at first."""
