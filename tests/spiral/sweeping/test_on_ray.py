"""A real cluster of this machine alone, begun once."""

from __future__ import annotations

import builtins
import json

import pytest

from edgespiral.core.errors import MissingExtraError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.measure.transports.one_at_a_time import RESOURCES, SHARED, alone_on, device_key
from edgespiral.spiral.sweeping.on_ray import Devices, OnRay
from edgespiral.spiral.sweeping.plan import RaySettings, load_sweep, runs_of
from edgespiral.spiral.sweeping.sweep import Sweeping

BOARD = ("board.example.org", "22")


def sweeping(path, out):
    return Sweeping(path, out, None, Silent(), "edgespiral sweep --ray")


def test_runs_go_to_a_cluster_and_a_board_is_held_by_one_at_a_time(
    sweep_file, tmp_path, monkeypatch
):
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    path = sweep_file("[vary]\nseed = [0]\n")
    runs = runs_of(load_sweep(path), str(path))
    devices = Devices.of(runs)
    assert devices.own == {"host-cpu": "device:host-cpu"}
    devices.resources[device_key(BOARD)] = "device:board"
    out = tmp_path / "out"
    out.mkdir()
    with OnRay(out, RaySettings(cpus=0.5), devices, None) as cluster:
        assert ray.cluster_resources()["device:host-cpu"] == 1
        ended = list(cluster.run(runs))
        monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        monkeypatch.setenv(SHARED, "1")
        monkeypatch.setenv(RESOURCES, json.dumps(devices.resources))
        with alone_on(BOARD):
            other = placement_group([{"device:board": 1}])
            assert not other.wait(timeout_seconds=0.5)
        assert other.wait(timeout_seconds=60)
        remove_placement_group(other)
        phone = Devices(own={"x": "device:phone"})
        lacking = OnRay(out, RaySettings(), phone, None)
        with pytest.raises(UsageError, match=r"no node .* has device:phone; .*ray start"):
            lacking._require_devices()
    assert {run.name for run, _ in ended} == {run.name for run in runs}
    for _, problem in ended:
        assert problem is not None
        assert (problem.code, "none.py: no such file" in problem.text) == (2, True)


def test_a_cluster_that_is_not_there_is_one_line(sweep_file, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "not an address")
    path = sweep_file("[vary]\nseed = [0]\n")
    with pytest.raises(UsageError, match="RAY_ADDRESS=not an address: the Ray cluster cannot be"):
        sweeping(path, tmp_path / "out").on_ray()


def test_without_its_package_the_extra_is_named(sweep_file, tmp_path, monkeypatch):
    imported = builtins.__import__

    def lacks(name, *rest):
        if name in ("ray", "optuna"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacks)
    path = sweep_file("[vary]\nseed = [0]\n")
    with pytest.raises(MissingExtraError, match=r"--ray needs .* 'edgespiral\[ray\]'"):
        sweeping(path, tmp_path / "out").on_ray()
    path = sweep_file("[search]\ntrials = 2\n[search.fields]\nalpha = [0.5, 0.9]\n")
    with pytest.raises(MissingExtraError, match=r"\[search\] .* 'edgespiral\[optuna\]'"):
        sweeping(path, tmp_path / "out").here()
    assert not (tmp_path / "out").exists()
