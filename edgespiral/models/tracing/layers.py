"""Which modules are layers of torch.nn, and which only derive from one."""

from __future__ import annotations

import inspect
from functools import cache

from torch import nn

# They hold other modules, and what they compute is their modules' doing.
CONTAINERS = (
    nn.Module,
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.ParameterList,
    nn.ParameterDict,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
# What a subclass may have of its own without computing anything else.
HARMLESS = ("extra_repr", "reset_parameters")


def layer_class(module: nn.Module) -> type[nn.Module] | None:
    """The class of torch.nn that computes all that `module` does, or None.

    It is the module's own class, or the nearest above it where the module overrides nothing that
    it computes by.
    """
    mro = type(module).__mro__
    own = next((kind for kind in mro if getattr(nn, kind.__name__, None) is kind), nn.Module)
    if own in CONTAINERS:
        return None
    names = set(vars(module))
    for kind in mro[: mro.index(own)]:
        if any(isinstance(member, property) for member in vars(kind).values()):
            return None  # such as a weight that is computed when it is asked for
        names |= {name for name in vars(kind) if not name.startswith("__") or name == "__call__"}
    overridden = (name for name in names.difference(HARMLESS) if _computes(own, name))
    return None if any(True for _ in overridden) else own


@cache  # of classes of torch.nn, and of the names that layers have
def _computes(kind: type[nn.Module], name: str) -> bool:
    there = inspect.getattr_static(kind, name, None)
    return callable(there) or isinstance(there, (property, classmethod, staticmethod))
