"""Networks of other libraries, as one module of one input that returns all outputs in a row.

A library is imported when one of its networks is asked for. None is a dependency:

    uv pip install timm transformers segmentation-models-pytorch torchaudio
    uv pip install --no-deps ultralytics ultralytics-thop opencv-python-headless polars \
        polars-runtime-32 torchcrepe facenet-pytorch resemblyzer
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Case:
    """A network of a library: what makes it, and the inputs that it takes."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    token_count: int | None = None


class AllOutputs(nn.Module):
    """Calls a network and puts all tensors that it returns, flattened, into one row a sample.

    So that nothing of what a network of several outputs computes is left out of a comparison.
    """

    def __init__(self, net: nn.Module, call: Callable[[nn.Module, Any], Any] | None = None) -> None:
        super().__init__()
        self.net = net
        self._call = call or (lambda net, inputs: net(inputs))

    def forward(self, inputs: Any) -> Any:  # noqa: ANN401
        """(N, ...) -> (N, all elements of all outputs)."""
        outputs = list(_leaves(self._call(self.net, inputs)))
        if len(outputs) == 1:
            return outputs[0]
        return torch.cat([output.flatten(1) for output in outputs], 1)


def _leaves(tree: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(tree, torch.Tensor):
        yield tree
    elif hasattr(tree, "values"):
        for part in tree.values():
            yield from _leaves(part)
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _leaves(part)


def of_timm(name: str, side: int) -> Case:
    """A network of timm for images of `side` pixels."""

    def make() -> nn.Module:
        from edgespiral.models import build

        return build(f"timm/{name}", classes=1000, input_shape=(3, side, side))

    return Case(make, (3, side, side))


def _smp() -> dict[str, Case]:
    import segmentation_models_pytorch as smp

    kinds = {
        "Unet resnet18": (smp.Unet, "resnet18"),
        "FPN resnet18": (smp.FPN, "resnet18"),
        "DeepLabV3Plus resnet18": (smp.DeepLabV3Plus, "resnet18"),
        "Unet mobilenet_v2": (smp.Unet, "mobilenet_v2"),
        "Unet tu-mobilenetv4_conv_small": (smp.Unet, "tu-mobilenetv4_conv_small"),
        "UnetPlusPlus resnet18": (smp.UnetPlusPlus, "resnet18"),
    }
    return {
        name: Case(partial(kind, encoder, encoder_weights=None, classes=5), (3, 64, 64))
        for name, (kind, encoder) in kinds.items()
    }


def _huggingface() -> dict[str, Case]:
    import transformers as hf

    small = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    image = small | {"intermediate_size": 128, "image_size": 32, "patch_size": 8}
    text = small | {"intermediate_size": 128, "vocab_size": 200, "max_position_embeddings": 64}
    distil = {"n_layers": 2, "n_heads": 4, "dim": 64, "hidden_dim": 128, "vocab_size": 200}
    mobile = text | {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32}
    sound = small | {
        "intermediate_size": 128, "conv_dim": (32, 32, 32), "conv_kernel": (10, 3, 3),
        "conv_stride": (5, 2, 2), "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4, "num_feat_extract_layers": 3,
    }  # fmt: skip
    pictures, words, waves = (3, 32, 32), (24,), (800,)
    of = _of_configuration
    return {
        "ViT": of(hf.ViTForImageClassification, hf.ViTConfig(**image), pictures),
        "DeiT": of(hf.DeiTForImageClassification, hf.DeiTConfig(**image), pictures),
        "ResNet": of(
            hf.ResNetForImageClassification,
            hf.ResNetConfig(embedding_size=32, hidden_sizes=[32, 64, 64, 128], depths=[1, 1, 1, 1]),
            pictures,
        ),
        "BERT": of(hf.BertForSequenceClassification, hf.BertConfig(**text), words),
        "DistilBERT": of(
            hf.DistilBertForSequenceClassification, hf.DistilBertConfig(**distil), words
        ),
        "MobileBERT": of(
            hf.MobileBertForSequenceClassification, hf.MobileBertConfig(**mobile), words
        ),
        "wav2vec2": of(
            hf.Wav2Vec2ForSequenceClassification, hf.Wav2Vec2Config(**sound), waves
        ),
    }  # fmt: skip


def _of_configuration(kind: Any, config: Any, shape: tuple[int, ...]) -> Case:  # noqa: ANN401
    token_count = config.vocab_size if len(shape) == 1 and "Wav" not in kind.__name__ else None
    return Case(lambda: AllOutputs(kind(config)), shape, token_count)


def _torchaudio() -> dict[str, Case]:
    from torchaudio.models import Conformer, Wav2Letter

    def conformer() -> nn.Module:
        net = Conformer(40, num_heads=4, ffn_dim=128, num_layers=2, depthwise_conv_kernel_size=15)
        return AllOutputs(net, lambda net, x: net(x, _lengths(x))[0])

    return {
        "Conformer": Case(conformer, (50, 40)),
        "Wav2Letter waveform": Case(partial(Wav2Letter, 20, "waveform", 1), (1, 8000)),
        "Wav2Letter mfcc": Case(partial(Wav2Letter, 20, "mfcc", 40), (40, 100)),
    }


def _lengths(x: Any) -> Any:  # noqa: ANN401
    """All samples are as long as the input."""
    return torch.full((x.shape[0],), 50)


def _ultralytics() -> dict[str, Case]:
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())
    os.environ.setdefault("YOLO_OFFLINE", "1")
    from ultralytics.nn.tasks import DetectionModel

    def make(configuration: str) -> nn.Module:
        net = DetectionModel(configuration, nc=20, verbose=False)
        return _YoloBodyAndHead(net)

    names = ("yolov5n", "yolov8n", "yolo11n", "yolo26n")
    return {name: Case(partial(make, f"{name}.yaml"), (3, 64, 64)) for name in names}


class _YoloBodyAndHead(nn.Module):
    """A YOLO's layers in their order, and all maps that its head makes of them.

    What makes boxes of the maps has no channels, and is not trained through.
    """

    def __init__(self, net: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.model, self._save = net.model, net.save

    def forward(self, x: Any) -> Any:  # noqa: ANN401
        """(N, 3, H, W) -> (N, all elements of all maps)."""
        outputs: list[Any] = []
        for layer in self.model[:-1]:
            x = _routed(layer, x, outputs)
            outputs.append(layer(x))
            x = outputs[-1]
        head = self.model[-1]
        maps = [outputs[place] for place in head.f]
        made = []
        for branches in (head.cv2, head.cv3, *_one_to_one(head)):
            made += [branch(level) for branch, level in zip(branches, maps, strict=True)]
        return torch.cat([one.flatten(1) for one in made], 1)


def _routed(layer: Any, x: Any, outputs: list[Any]) -> Any:  # noqa: ANN401
    if layer.f == -1:
        return x
    if isinstance(layer.f, int):
        return outputs[layer.f]
    return [x if place == -1 else outputs[place] for place in layer.f]


def _one_to_one(head: Any) -> list[Any]:  # noqa: ANN401
    names = ("one2one_cv2", "one2one_cv3")
    return [getattr(head, name) for name in names if getattr(head, name, None) is not None]


def _torchvision() -> dict[str, Case]:
    from torchvision.models import detection, segmentation

    plain: dict[str, Any] = {"weights": None, "weights_backbone": None}

    def segmenter(name: str) -> Case:
        make = getattr(segmentation, name)
        return Case(lambda: AllOutputs(make(**plain, num_classes=5)), (3, 64, 64))

    def detector(name: str, head: str, side: int) -> Case:
        make = getattr(detection, name)
        return Case(lambda: _BackboneAndHead(make(**plain), head), (3, side, side))

    segmenters = (
        "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50",
        "fcn_resnet50",
    )  # fmt: skip
    detectors = {
        "ssdlite320_mobilenet_v3_large": ("head", 320),
        "ssd300_vgg16": ("head", 300),
        "retinanet_resnet50_fpn": ("head", 64),
        "fcos_resnet50_fpn": ("head", 64),
        "fasterrcnn_mobilenet_v3_large_fpn": ("rpn.head", 64),
    }
    return {name: segmenter(name) for name in segmenters} | {
        name: detector(name, *rest) for name, rest in detectors.items()
    }


class _BackboneAndHead(nn.Module):
    """A detector without what makes boxes of its maps."""

    def __init__(self, net: nn.Module, head: str) -> None:
        super().__init__()
        self.backbone: nn.Module = net.backbone
        self.head = net.get_submodule(head)

    def forward(self, images: Any) -> Any:  # noqa: ANN401
        """(N, 3, H, W) -> (N, all elements of all outputs)."""
        outputs = self.head(list(self.backbone(images).values()))
        return torch.cat([output.flatten(1) for output in _leaves(outputs)], 1)


def _trained() -> dict[str, Case]:
    """Networks that packages bring with their trained weights."""
    _do_without("librosa", "webrtcvad", "resampy", "scipy.ndimage.morphology", "binary_dilation")
    import torchcrepe
    from facenet_pytorch.models import mtcnn
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1
    from resemblyzer.voice_encoder import VoiceEncoder

    def crepe() -> nn.Module:
        net = torchcrepe.Crepe("tiny")
        assets = os.path.join(os.path.dirname(torchcrepe.__file__), "assets")  # noqa: PTH118, PTH120
        net.load_state_dict(torch.load(f"{assets}/tiny.pth", weights_only=True))
        return net

    return {
        "torchcrepe tiny": Case(crepe, (1024,)),
        "MTCNN PNet": Case(lambda: AllOutputs(mtcnn.PNet()), (3, 24, 24)),
        "MTCNN RNet": Case(lambda: AllOutputs(mtcnn.RNet()), (3, 24, 24)),
        "MTCNN ONet": Case(lambda: AllOutputs(mtcnn.ONet()), (3, 48, 48)),
        "InceptionResnetV1": Case(partial(InceptionResnetV1, num_classes=20), (3, 96, 96)),
        "resemblyzer": Case(partial(VoiceEncoder, "cpu", verbose=False), (40, 40)),
    }


def _do_without(*names: str) -> None:
    """Empty modules in place of those that only read sound, which no network needs."""
    for name in names:
        stand_in: Any = ModuleType(name)
        stand_in.binary_dilation = None
        sys.modules.setdefault(name, stand_in)


FAMILIES: dict[str, Callable[[], dict[str, Case]]] = {
    "torchvision": _torchvision,
    "smp": _smp,
    "huggingface": _huggingface,
    "torchaudio": _torchaudio,
    "ultralytics": _ultralytics,
    "trained": _trained,
}
TRAINED = "trained"
