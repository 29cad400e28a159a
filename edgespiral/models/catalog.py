"""Models by name: small ones of images, text, sound, rows and boxes, torchvision's, timm's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError, unknown_name
from edgespiral.models.zoo.timm_models import build_of_timm, is_of_timm, require_in_timm

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from edgespiral.core.nested import Tensors

RESNET_DEPTHS = (8, 20, 32, 56)
MOBILENET = "mobilenetv2-small"
TEXT = ("gru-text", "lstm-text", "transformer-text")
SOUND = ("bc-resnet", "ctc-gru", "ctc-lstm", "ds-cnn", "gru-kws", "gru-sound")
ROWS = ("autoencoder", "mlp-tabular", "neumf")
TRANSLATION = ("gru-translation", "lstm-translation")
UNET, LRASPP = "unet-small", "lraspp_mobilenet_v3_large"
SSD = "ssdlite-tiny"
# Kinds of detectors of torchvision's that look at an image in one stage.
ONE_STAGE = ("ssd", "retinanet", "fcos")
WEIGHT_FILES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pkl")
# What other programs write: a model with its weights, but none that PyTorch could train.
RUN_ONLY = {
    ".onnx": "an ONNX file", ".pt2": "an exported program", ".torchscript": "TorchScript",
    ".h5": "a Keras file", ".keras": "a Keras file", ".tflite": "a LiteRT file",
    ".engine": "a built engine",
}  # fmt: skip
HUB = ("hf-hub:", "hf_hub:")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def names() -> list[str]:
    """Every name that `build` knows without other packages, sorted."""
    from torchvision import models

    one_stage = [name for name in _detectors() if name.startswith(ONE_STAGE)]
    return sorted([*_own_names(), LRASPP, *one_stage, *models.list_models(module=models)])


def is_built_untrained(name: str) -> bool:
    """Whether it is a name for which `build` makes a model, whose weights are to be given."""
    return is_of_timm(name) or _is_here(name)


def require_known(name: str) -> None:
    """Refuse what names no model here, and say how to give the one that it names elsewhere.

    Raises:
        MissingExtraError: it is timm's, which is not installed.
        UsageError: it is another library's name, a file of weights, a folder, or unknown.
    """
    if is_of_timm(name):
        require_in_timm(name)
    elif not _is_here(name):
        raise _elsewhere(name) or unknown_name("model", name, names())


def _elsewhere(name: str) -> UsageError | None:
    """The error for what is a model in another form, with the lines that make it one here."""
    file = Path(name)
    if name in _detectors():
        return UsageError(
            f"{name} has two stages, and is no dense network that could be cut as a whole",
            where="model",
            hint=f"take {SSD}, or ssdlite, RetinaNet or FCOS of torchvision",
        )
    if name.startswith(HUB):
        what = "is a name of the Hugging Face hub, from which nothing is fetched here"
        hint = _two_lines("import timm", f"timm.create_model({name!r}, pretrained=True)")
    elif file.is_dir():
        what, hint = "is a folder", f"give {file / 'model.py'}:load"
    elif file.suffix.lower() in RUN_ONLY:
        what = f"is {RUN_ONLY[file.suffix.lower()]}, which can be run but neither trained nor cut"
        hint = _two_lines("from my_code import Net", "Net()") + ", and --weights its checkpoint"
    elif file.suffix.lower() in WEIGHT_FILES:
        what = "is a file of weights, which do not say what model they are of"
        hint = _two_lines("from my_code import Net", "Net()") + f", and --weights {name}"
    elif HUB_NAME.fullmatch(name):
        what = "is no model here; a name of the Hugging Face hub is fetched by your own code"
        imports = "from transformers import AutoModelForImageClassification as Net"
        hint = _two_lines(imports, f"Net.from_pretrained({name!r})")
    else:
        return None
    return UsageError(what, where=name, hint=hint)


def _two_lines(imports: str, makes: str) -> str:
    return (
        f"write two lines into net.py, as `{imports}` and `def model(): return {makes}`, "
        "and give net.py:model"
    )


def build(
    name: str,
    *,
    classes: int,
    input_shape: tuple[int, ...],
    token_count: int | None = None,
    padding: int | None = None,
    sample_rate_hz: int | None = None,
    specs: Tensors | None = None,
) -> nn.Module:
    """A freshly initialised model: (N, *input_shape) -> (N, classes).

    `unet-small` and `lraspp_mobilenet_v3_large` return (N, classes, H, W), a class a pixel.
    `ssdlite-tiny` and detectors of torchvision's are what that has, for the task `detection`.

    Those for text take token ids (N, T) below `token_count`, of which `padding` counts for nothing,
    all others (N, C, H, W). For those of sound H are frequency bands and W are frames; with
    `sample_rate_hz` they take waveforms (N, 1, samples) and make these themselves.

    `mlp-tabular` takes numbers, categories or both, `neumf` a user and an item, as `specs` has
    them, an `InputSpec` for each; `autoencoder` gives rows of numbers back. `gru-translation` and
    `lstm-translation` take ids of a source and of a target, of which `padding` counts for nothing.

    A torchvision model is built for 3 channels; where `input_shape` (C, H, W) has another
    number, its first convolution is replaced by one that takes C channels. `timm/NAME` is built by
    timm, which an extra brings, for C channels and, where it needs one, for H x W. Auxiliary heads
    (GoogLeNet, Inception) are left out, so that every model returns one tensor.

    Raises:
        MissingExtraError: it is timm's, which is not installed.
        UsageError: no such model; the nearest names are given. Or one for other inputs.
    """
    require_known(name)
    if name in TEXT:
        return _text(name, classes, token_count, input_shape, padding)
    if name in SOUND and token_count is None:
        from edgespiral.models.zoo import sound

        return sound.build(
            name, classes=classes, input_shape=input_shape, sample_rate_hz=sample_rate_hz
        )
    if name in ROWS:
        from edgespiral.core.batches import InputSpec
        from edgespiral.models.zoo import rows

        specs = specs or InputSpec(input_shape, token_count)
        return rows.build(name, classes=classes, specs=specs)
    if name in TRANSLATION:
        from edgespiral.models.zoo import translation

        return translation.build(name, specs=specs, padding=padding)
    return _image_model(name, classes, input_shape, token_count)


def _image_model(
    name: str, classes: int, input_shape: tuple[int, ...], token_count: int | None
) -> nn.Module:
    if len(input_shape) != 3 or token_count is not None:
        raise UsageError(
            f"{name} takes (channels, height, width), and the data has {tuple(input_shape)}"
            + (" token ids" if token_count is not None else ""),
            where="model",
        )
    if is_of_timm(name):
        return build_of_timm(name, classes=classes, input_shape=input_shape)
    return _of_images(name, classes, input_shape)


def _of_images(name: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    if name == UNET:
        return _unet(classes, input_shape)
    small = _small_models()
    if name in small:
        return small[name](classes, input_shape[0])
    # Only now: importing torchvision's models takes a second.
    if name in (SSD, *_detectors()):
        return _detector(name, classes, input_shape)
    return _torchvision(name, classes, input_shape[0])


def _own_names() -> list[str]:
    return [*_small_models(), *TEXT, *SOUND, *ROWS, *TRANSLATION, UNET, SSD]


def _is_here(name: str) -> bool:
    # Importing torchvision's models takes longer than all the rest of a small model's start.
    return name in _own_names() or name in names()


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


def _text(
    name: str,
    classes: int,
    token_count: int | None,
    input_shape: tuple[int, ...],
    padding: int | None,
) -> nn.Module:
    from edgespiral.models.zoo import text

    if token_count is None:
        raise UsageError(
            f"{name} takes token ids, and the data has none",
            where="model",
            hint="data with token ids has a token_count (docs/data.md)",
        )
    return text.build(
        name, classes=classes, token_count=token_count, steps=input_shape[0], padding=padding
    )


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

    names: list[str] = models.list_models(module=models.detection)
    return names


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
