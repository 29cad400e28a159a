import numpy as np
import pytest
import torch
from torch import nn

from edgespiral import models
from edgespiral.core import audio
from edgespiral.core.errors import UsageError
from edgespiral.models.saved import check_rebuilds, trace
from edgespiral.models.zoo.sound import MODELS, LogMel
from edgespiral.prune.prunable import PrunableModel

RATE_HZ = 8000
SAMPLES = audio.whole_samples(4000, RATE_HZ)
FEATURES = (1, audio.BANDS, audio.frame_count(SAMPLES, RATE_HZ))
SPOTTING = ("bc-resnet", "ds-cnn", "gru-kws", "gru-sound")


def build(name, shape, rate_hz=None):
    torch.manual_seed(0)
    return models.build(name, classes=5, input_shape=shape, sample_rate_hz=rate_hz).eval()


def test_features_inside_of_a_model_are_those_of_the_data():
    samples = np.random.default_rng(0).normal(0, 0.1, (2, SAMPLES)).astype(np.float32)
    inside = LogMel(SAMPLES, RATE_HZ)(torch.from_numpy(samples)[:, None])
    assert inside.shape == (2, *FEATURES)
    outside = np.stack([audio.log_mel(one, RATE_HZ) for one in samples])
    np.testing.assert_allclose(inside[:, 0].numpy(), outside, atol=1e-4)


@pytest.mark.parametrize("name", SPOTTING)
def test_spotters_take_features_and_waveforms(name):
    with torch.inference_mode():
        assert build(name, FEATURES)(torch.randn(2, *FEATURES)).shape == (2, 5)
        waves = build(name, (1, SAMPLES), RATE_HZ)(torch.randn(2, 1, SAMPLES))
    assert waves.shape == (2, 5)


@pytest.mark.parametrize("name", ["ctc-gru", "ctc-lstm"])
def test_transcribers_have_symbols_for_every_other_frame(name):
    with torch.inference_mode():
        outputs = build(name, FEATURES)(torch.randn(2, *FEATURES))
    assert outputs.shape == (2, -(-FEATURES[2] // 2), 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS))
def test_each_can_be_cut_behind_a_front_end_that_stays(name):
    graph = trace(build(name, (1, SAMPLES), RATE_HZ), torch.randn(2, 1, SAMPLES))
    assert check_rebuilds(graph)
    teacher = PrunableModel.of(graph, (1, SAMPLES))
    assert teacher.groups
    # What makes the features is no layer, and none of its matrices a parameter.
    assert not [name for name, _ in teacher.model.named_parameters() if "front" in name]
    assert not [group.name for group in teacher.groups if "front" in group.name]
    cut = teacher.candidate(
        {group.name: group.sub_groups * max(1, group.units // 2) for group in teacher.groups}
    )
    with torch.inference_mode():
        assert cut(torch.randn(1, 1, SAMPLES)).shape == graph(torch.randn(1, 1, SAMPLES)).shape
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in graph.parameters())


def test_ds_cnn_has_the_blocks_of_the_paper():
    layers = [layer for layer in build("ds-cnn", FEATURES) if isinstance(layer, nn.Conv2d)]
    assert [layer.groups for layer in layers] == [1, 64, 1, 64, 1, 64, 1, 64, 1]
    assert {layer.out_channels for layer in layers} == {64}


def test_what_is_no_sound_is_told():
    with pytest.raises(UsageError, match=r"takes \(channels, bands, frames\), or waveforms with"):
        build("ds-cnn", (1, SAMPLES))
    with pytest.raises(UsageError, match="no whole hops of 128; pad them to 4096"):
        build("ds-cnn", (1, 4000), RATE_HZ)
