"""Networks of the library timm by name, as `timm/NAME`, made for the data's classes and sizes.

What timm downloads is never asked for: weights come from the user's own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MissingExtraError, UsageError, unknown_name
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm/"


def is_of_timm(name: str) -> bool:
    """Whether a model's name says that timm has it."""
    return name.startswith(PREFIX)


def require_in_timm(name: str) -> None:
    """Refuse a name that timm does not have.

    Args:
        name: `timm/NAME`; NAME may have the tag of a set of weights, as `resnet18.a1_in1k`.

    Raises:
        MissingExtraError: timm is not installed.
        UsageError: it has no such network; the nearest names are given.
    """
    names = _timm(name).list_models()
    if name.removeprefix(PREFIX).partition(".")[0] not in names:
        raise unknown_name("model", name, [f"{PREFIX}{own}" for own in names])


def build_of_timm(name: str, *, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """A freshly initialised network of timm: (N, *input_shape) -> (N, classes).

    Args:
        name: `timm/NAME`.
        classes: number of logits.
        input_shape: (C, H, W); networks that are built for one size are built for this one.

    Raises:
        MissingExtraError: timm is not installed.
        UsageError: it has no such network, or cannot make it for these inputs.
    """
    timm = _timm(name)
    require_in_timm(name)
    own = name.removeprefix(PREFIX)
    channels, height, width = input_shape
    options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    failed = f"timm cannot make it for inputs of {input_shape} and {classes} classes"
    with user_code(UsageError, failed, where=name):
        config = timm.get_pretrained_cfg(own, allow_unregistered=True)
        if config is not None and config.fixed_input_size:
            options["img_size"] = (height, width)
        model: nn.Module = timm.create_model(own, pretrained=False, **options)
    return model


def _timm(name: str) -> Any:  # noqa: ANN401 (it has no types)
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise MissingExtraError(f"the model {name}", "timm") from error
    return timm.models
