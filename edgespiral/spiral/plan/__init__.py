"""What a run is asked to do: the fields, and how they are read from files and flags."""

from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.loading import load_plan, plan_sha256

__all__ = ["Plan", "load_plan", "plan_sha256"]
