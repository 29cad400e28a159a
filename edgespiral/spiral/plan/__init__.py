"""What a run is asked to do: the fields, and how they are read from files and flags."""

from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.loading import beneath, load_plan, plan_sha256

__all__ = ["Plan", "beneath", "load_plan", "plan_sha256"]
