import re

import pytest
import torch
from torch import fx

from edgespiral import models
from edgespiral.core.errors import UsageError
from edgespiral.models.catalog import ROWS, SOUND, TEXT, TRANSLATION, require_known

RECURRENT = TEXT + SOUND
SEGMENTING = ("unet-small", "lraspp_mobilenet_v3_large")
DETECTING = ("ssd", "retinanet", "fcos")
SMALL = ("resnet8", "resnet20", "resnet32", "resnet56", "mobilenetv2-small")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8)])
def test_small_models_return_logits_and_can_be_traced(name, shape):
    model = models.build(name, classes=7, input_shape=shape).eval()
    inputs = torch.randn(2, *shape)
    traced = fx.symbolic_trace(model)
    with torch.inference_mode():
        logits = model(inputs)
        assert logits.shape == (2, 7)
        assert torch.equal(traced(inputs), logits)


def test_resnet20_has_the_size_of_the_paper():
    model = models.build("resnet20", classes=10, input_shape=(3, 32, 32))
    parameters = sum(p.numel() for p in model.parameters())
    # He et al. 2016, table 6: 0.27 M; the projections of option B add 2,752.
    assert parameters == 269_722 + 16 * 32 + 32 * 64 + 2 * (32 + 64)


def test_every_shape_change_of_a_shortcut_has_its_own_convolution():
    model = models.build("resnet8", classes=10, input_shape=(1, 28, 28))
    shortcuts = [m for name, m in model.named_modules() if name.endswith("shortcut.0")]
    assert [(c.in_channels, c.out_channels) for c in shortcuts] == [(16, 32), (32, 64)]


# RegNet and Swin compute their shapes with real tensors, so these are built for real.
REAL = {"regnet_y_400mf", "swin_t", "swin_v2_t"}
SHAPES_ONLY = [
    name
    for name in models.names()
    if name not in (*SMALL, *RECURRENT, *SEGMENTING, *ROWS, *TRANSLATION)
    and not name.startswith(("regnet", "swin", *DETECTING))
]


@pytest.mark.parametrize("name", SEGMENTING)
def test_segmenters_have_logits_for_each_pixel(name):
    model = models.build(name, classes=5, input_shape=(1, 64, 96)).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 1, 64, 96)).shape == (2, 5, 64, 96)


def test_a_unet_says_which_sides_it_takes():
    with pytest.raises(UsageError, match=r"multiples of 8, and the data has \(3, 30, 32\)"):
        models.build("unet-small", classes=2, input_shape=(3, 30, 32))


def logits_shape(name):
    size = 299 if name == "inception_v3" else 224
    model = models.build(name, classes=5, input_shape=(1, size, size)).eval()
    with torch.inference_mode():
        return model(torch.zeros(2, 1, size, size)).shape


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES_ONLY)
def test_torchvision_models_take_grey_images(name):
    with torch.device("meta"):
        assert logits_shape(name) == (2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REAL))
def test_torchvision_models_that_need_real_tensors_take_grey_images(name):
    assert logits_shape(name) == (2, 5)


def test_only_the_stem_differs_for_other_channel_counts():
    with torch.device("meta"):
        usual, grey = (
            models.build("resnet18", classes=5, input_shape=(c, 64, 64)).state_dict()
            for c in (3, 1)
        )
    changed = [key for key in usual if usual[key].shape != grey[key].shape]
    assert usual.keys() == grey.keys()
    assert changed == ["conv1.weight"]


@pytest.mark.parametrize(("wrong", "near"), [("resnet21", "resnet20"), ("Resnet-18", "resnet18")])
def test_unknown_model_names_the_nearest(wrong, near):
    with pytest.raises(UsageError, match=f"unknown model '{wrong}'; did you mean .*{near}"):
        models.build(wrong, classes=2, input_shape=(3, 32, 32))


@pytest.mark.parametrize("name", ["resnet20", "gru-sound", "resnet18"])
def test_models_of_images_and_sound_refuse_token_ids(name):
    with pytest.raises(UsageError, match=f"{name} takes .channels, height, width."):
        models.build(name, classes=4, input_shape=(24,), token_count=60)


def test_the_model_of_text_refuses_what_has_none():
    with pytest.raises(UsageError, match="lstm-text takes token ids, and the data has none"):
        models.build("lstm-text", classes=4, input_shape=(1, 28, 28))


ELSEWHERE = {
    "hf-hub:timm/resnet18.a1_in1k": "timm.create_model('hf-hub:timm/resnet18.a1_in1k'",
    "google/vit-base-patch16-224": "from_pretrained('google/vit-base-patch16-224')",
    "trained.pt": "--weights trained.pt",
    "weights.safetensors": "is a file of weights",
    "net.onnx": "is an ONNX file, which can be run but neither trained nor cut",
    "net.PT2": "is an exported program",
}
TWO_LINES = (
    r"write two lines into net.py, as `(from|import) .*` and `def model\(\): return .*`, and give "
)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_of_other_places_are_told_how_to_be_given(name):
    with pytest.raises(UsageError) as caught:
        models.build(name, classes=2, input_shape=(3, 8, 8))
    assert ELSEWHERE[name] in str(caught.value)
    assert re.search(TWO_LINES, str(caught.value))
    assert len(str(caught.value)) < 320


def test_a_folder_is_told_where_its_model_is(tmp_path):
    with pytest.raises(UsageError, match=r"model\.py:load"):
        require_known(str(tmp_path))


def test_an_unknown_name_does_not_list_them_all():
    with pytest.raises(UsageError, match=r"and \d+ more") as caught:
        require_known("zzzzzz")
    assert len(str(caught.value)) < 300
