"""Models by name: small ones for images, text, sound, masks and boxes, and torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.registry import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

RESNET_DEPTHS = (8, 20, 32, 56)
MOBILENET = "mobilenetv2-small"
TEXT, SOUND = "lstm-text", "gru-sound"
UNET, LRASPP = "unet-small", "lraspp_mobilenet_v3_large"
SSD = "ssdlite-tiny"
# Kinds of detectors of torchvision's that look at an image in one stage.
ONE_STAGE = ("ssd", "retinanet", "fcos")
WEIGHT_FILES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pt2", ".onnx", ".h5", ".pkl")


def names() -> list[str]:
    """Every name that `build` knows, sorted."""
    from torchvision import models

    ours = [*_small_models(), TEXT, SOUND, UNET, SSD]
    one_stage = [name for name in _detectors() if name.startswith(ONE_STAGE)]
    return sorted([*ours, LRASPP, *one_stage, *models.list_models(module=models)])


def require_known(name: str) -> None:
    """Refuse what names no model here, and say how to give the one that it names elsewhere.

    Raises:
        UsageError: it is another library's name, a file of weights, a folder, or unknown.
    """
    if name in names():
        return
    if name in _detectors():
        raise UsageError(
            f"{name} has two stages, and is no dense network that could be cut as a whole",
            where="model",
            hint=f"take {SSD}, or ssdlite, RetinaNet or FCOS of torchvision",
        )
    library, _, inside = name.partition("/")
    if "hub" in library or library == "timm":
        own = inside if library == "timm" else name
        raise UsageError(
            f"no model {name!r} here",
            where="model",
            hint="write two lines into net.py: `import timm` and `def model(): return "
            f"timm.create_model({own!r}, pretrained=True)`, and give net.py:model",
        )
    if Path(name).is_dir():
        raise UsageError("is a folder", where=name, hint=f"give {Path(name) / 'model.py'}:load")
    if Path(name).suffix in WEIGHT_FILES:
        raise UsageError(
            "is a file of weights, which do not say what model they are of",
            where=name,
            hint=f"give a name or path/to/file.py:factory as the model, and --weights {name}",
        )
    raise unknown_name("model", name, names())


def build(
    name: str, *, classes: int, input_shape: tuple[int, ...], token_count: int | None = None
) -> nn.Module:
    """A freshly initialised model: (N, *input_shape) -> (N, classes).

    `unet-small` and `lraspp_mobilenet_v3_large` return (N, classes, H, W), a class a pixel.
    `ssdlite-tiny` and detectors of torchvision's are what that has, for the task `detection`.

    `lstm-text` takes token ids (N, T) below `token_count`, all others (N, C, H, W); for `gru-sound`
    H are frequency bands and W are frames.

    A torchvision model is built for 3 channels; where `input_shape` (C, H, W) has another
    number, its first convolution is replaced by one that takes C channels. Auxiliary heads
    (GoogLeNet, Inception) are left out, so that every model returns one tensor of logits.

    Raises:
        UsageError: no such model; the nearest names are given. Or one for other inputs.
    """
    require_known(name)
    if name == TEXT:
        return _text(classes, token_count)
    if len(input_shape) != 3 or token_count is not None:
        raise UsageError(
            f"{name} takes (channels, height, width), and the data has {tuple(input_shape)}"
            + (" token ids" if token_count is not None else ""),
            where="model",
        )
    if name == SOUND:
        return _sound(classes, *input_shape[:2])
    if name == UNET:
        return _unet(classes, input_shape)
    if name in (SSD, *_detectors()):
        return _detector(name, classes, input_shape)
    small = _small_models()
    if name in small:
        return small[name](classes, input_shape[0])
    return _torchvision(name, classes, input_shape[0])


def _small_models() -> dict[str, Callable[[int, int], nn.Module]]:
    return {f"resnet{depth}": _resnet(depth) for depth in RESNET_DEPTHS} | {MOBILENET: _mobilenet}


def _resnet(depth: int) -> Callable[[int, int], nn.Module]:
    def make(classes: int, channels: int) -> nn.Module:
        from edgespiral.models.zoo.resnet import CifarResNet

        return CifarResNet(depth, classes=classes, channels=channels)

    return make


def _mobilenet(classes: int, channels: int) -> nn.Module:
    from edgespiral.models.zoo.mobilenet import mobilenetv2_small

    return mobilenetv2_small(classes=classes, channels=channels)


def _text(classes: int, token_count: int | None) -> nn.Module:
    from edgespiral.models.zoo.recurrent import TextLSTM

    if token_count is None:
        raise UsageError(
            f"{TEXT} takes token ids, and the data has none",
            where="model",
            hint="data with token ids has a token_count (docs/data.md)",
        )
    return TextLSTM(classes=classes, token_count=token_count)


def _sound(classes: int, channels: int, bands: int) -> nn.Module:
    from edgespiral.models.zoo.recurrent import SoundGRU

    return SoundGRU(classes=classes, channels=channels, bands=bands)


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    from torchvision import models

    if name == LRASPP:
        return _lraspp(classes, channels)
    auxiliary = name in {"googlenet", "inception_v3"}
    extra = {"aux_logits": False, "init_weights": True} if auxiliary else {}
    model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
    if channels != 3:
        _replace_stem(model, channels)
    return model


def _detectors() -> list[str]:
    from torchvision import models

    found: list[str] = models.list_models(module=models.detection)
    return found


def _detector(name: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """One of one stage; of torchvision's, SSD alone has a background."""
    from torchvision import models

    from edgespiral.models.zoo.ssdlite import ssdlite_tiny

    channels, height, width = input_shape
    if name == SSD:
        return ssdlite_tiny(classes=classes, channels=channels, size=(height, width))
    if channels != 3:
        raise UsageError(f"{name} takes 3 channels, and the data has {channels}", where="model")
    columns = classes + 1 if name.startswith("ssd") else classes
    model: nn.Module = models.get_model(
        name, weights=None, weights_backbone=None, num_classes=columns
    )
    return model


def _unet(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    from edgespiral.models.zoo.unet import WIDTHS, UNet

    step = 2 ** (len(WIDTHS) - 1)
    if any(side % step for side in input_shape[1:]):
        raise UsageError(
            f"{UNET} takes images whose sides are multiples of {step}, and the data has "
            f"{tuple(input_shape)}",
            where="model",
        )
    return UNet(classes=classes, channels=input_shape[0])


def _lraspp(classes: int, channels: int) -> nn.Module:
    from torchvision import models

    from edgespiral.models.zoo.unet import Scaled

    whole = models.get_model(LRASPP, weights=None, weights_backbone=None, num_classes=classes)
    if channels != 3:
        _replace_stem(whole, channels)
    return Scaled(whole.backbone, whole.classifier)


def _replace_stem(model: nn.Module, channels: int) -> None:
    from torch import nn

    path, old = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(path, new)
