"""Bundled and torchvision models by name, and the user's own."""

from edgespiral.zoo.catalog import build, names
from edgespiral.zoo.load import check_logits, load_model

__all__ = ["build", "check_logits", "load_model", "names"]
