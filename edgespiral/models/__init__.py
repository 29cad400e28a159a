"""Bundled and torchvision models by name, and the user's own."""

from edgespiral.models.catalog import build, names
from edgespiral.models.load import check_outputs, load_model, load_model_for, one_output

__all__ = ["build", "check_outputs", "load_model", "load_model_for", "names", "one_output"]
