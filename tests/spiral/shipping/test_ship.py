"""A run of digits, shipped from its folder."""

import numpy as np
import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.spiral.shipping.sample import KEPT, kept
from edgespiral.spiral.shipping.ship import ship


def test_a_run_is_shipped_with_the_sample_that_it_kept(finished, tmp_path):
    out = tmp_path / "kit"
    shipment = ship(finished.folder, "onnxruntime", out)
    assert not shipment.is_measured_now
    (own,) = kept(finished.folder / "model.onnx")
    (expected,) = own.outputs.values()
    raw = np.fromfile(out / "sample" / "0-output-0.bin", np.float32)
    assert np.array_equal(raw, expected.ravel())
    (row,) = finished.result.devices
    assert f"**{row.student.stats.p50_ms:.4g} ms**" in (out / "README.md").read_text()


def test_a_sample_is_made_of_the_runs_data_where_none_was_kept(finished, tmp_path):
    place, aside = finished.folder / KEPT, tmp_path / "aside.npz"
    place.rename(aside)
    try:
        made = ship(finished.folder, "onnxruntime", tmp_path / "kit").samples
    finally:
        aside.rename(place)
    (own,) = kept(finished.folder / "model.onnx")
    for name, values in own.inputs.items():
        assert np.array_equal(made[0].inputs[name], values)


def test_another_runtimes_figure_is_measured(finished, tmp_path):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    shipment = ship(finished.folder, "openvino", tmp_path / "kit")
    assert shipment.is_measured_now
    assert shipment.figures[0].fingerprint.runtime == "openvino"
    assert "when this folder was made" in (tmp_path / "kit" / "README.md").read_text()


def test_a_damaged_sample_is_one_line(finished, tmp_path):
    place = finished.folder / KEPT
    before = place.read_bytes()
    place.write_bytes(b"no archive")
    try:
        with pytest.raises(RunFolderError, match="is damaged, or of other files") as told:
            ship(finished.folder, "onnxruntime", tmp_path / "kit")
    finally:
        place.write_bytes(before)
    assert "\n" not in str(told.value)
