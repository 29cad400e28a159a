"""Models by name, bundled, of torchvision and of timm, and the user's own."""

from edgespiral.models.catalog import build, is_built_untrained, names
from edgespiral.models.load import check_outputs, load_model, load_model_for, one_output

__all__ = [
    "build",
    "check_outputs",
    "is_built_untrained",
    "load_model",
    "load_model_for",
    "names",
    "one_output",
]
