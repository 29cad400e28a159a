"""Models of timm by name; the extra is among what tests are set up with."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from edgespiral import models
from edgespiral.core.errors import UsageError

SMALL = "timm/mobilenetv4_conv_small_035"
MISSING = """
import sys
sys.modules["timm"] = None
from edgespiral.cli.app import main
sys.argv = ["edgespiral", *sys.argv[1:]]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (SMALL, (3, 64, 64)),
        ("timm/resnet18.a1_in1k", (1, 32, 48)),
        ("timm/vit_tiny_patch16_224", (3, 48, 64)),  # built for one size
        ("timm/levit_128s", (3, 64, 64)),
    ],
)
def test_a_network_is_made_for_the_classes_and_sizes_of_the_data(name, shape):
    model = models.build(name, classes=5, input_shape=shape).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, *shape)).shape == (2, 5)


def test_an_unknown_name_gets_the_nearest_of_timm():
    with pytest.raises(UsageError, match=r"did you mean .*timm/mobilenetv4_conv_small"):
        models.build("timm/mobilnetv4_conv_small", classes=2, input_shape=(3, 64, 64))


def test_what_timm_cannot_make_is_told_in_a_line():
    with pytest.raises(
        UsageError, match=r"timm/mixer_s32_224: timm cannot make it .*\(3, 30, 30\)"
    ):
        models.build("timm/mixer_s32_224", classes=2, input_shape=(3, 30, 30))
    with pytest.raises(UsageError, match=r"timm cannot make it .* Invalid pretrained tag"):
        models.build(f"{SMALL}.nobodys", classes=2, input_shape=(3, 64, 64))


def test_others_than_images_are_refused():
    with pytest.raises(UsageError, match=r"takes .channels, height, width."):
        models.build(SMALL, classes=2, input_shape=(24,), token_count=60)


def test_weights_of_the_users_own_are_loaded(tmp_path):
    options = {"classes": 4, "input_shape": (3, 64, 64)}
    saved = models.build(SMALL, **options)
    save_file(saved.state_dict(), tmp_path / "mine.safetensors")
    loaded = models.load_model(SMALL, weights=tmp_path / "mine.safetensors", **options)
    assert all(
        torch.equal(a, b) for a, b in zip(saved.parameters(), loaded.parameters(), strict=True)
    )


def test_without_weights_there_is_nothing_to_compress():
    assert models.is_built_untrained(SMALL)
    assert not models.is_built_untrained("net.py:model")


@pytest.mark.slow
def test_without_timm_the_extra_is_named(tmp_path):
    plan = {"schema": 1, "model": SMALL, "data": "digits", "speedup": 2, "weights": "w.pt"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plan.items()]
    (tmp_path / "plan.toml").write_text("\n".join(lines))
    command = [sys.executable, "-c", MISSING, "validate", "plan.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'edgespiral[timm]'" in done.stderr
    assert "Traceback" not in done.stderr
