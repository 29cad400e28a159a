"""A real cluster of several nodes on this machine, which come, go, and are not alike."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import await_end

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.transports import one_at_a_time
from edgespiral.measure.transports.one_at_a_time import RESOURCES, SHARED, alone_on, device_key
from edgespiral.spiral.sweeping import on_ray
from edgespiral.spiral.sweeping.on_ray import Devices, OnRay
from edgespiral.spiral.sweeping.plan import RaySettings, load_sweep, runs_of
from edgespiral.spiral.sweeping.worker import run_on_worker

BOARD = ("board.example.org", "22")
# In place of a run: it says where it is and waits for good, and fails when it is gone on with.
WAITS = """
import os, sys, time
from pathlib import Path
begun = Path(sys.argv[1])
if begun.exists():
    raise SystemExit("error: gone on with")
begun.write_text(f"{os.environ['NODE']} {os.getpid()} ")
time.sleep(600)
"""
# What a board's user does on a node: hold it, and say from when to when.
HOLDS = """
import sys, time
from pathlib import Path
from edgespiral.measure.transports.one_at_a_time import alone_on
with alone_on(("board.example.org", "22")):
    start = time.monotonic()
    time.sleep(0.5)
    Path(sys.argv[1]).write_text(f"{start} {time.monotonic()}")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head that does nothing else, and a node with another version of this package."""
    ray = pytest.importorskip("ray", reason="the ray extra is not installed")
    from ray.cluster_utils import Cluster

    site = tmp_path_factory.mktemp("site")
    (site / "edgespiral-9.9.dist-info").mkdir()
    (site / "edgespiral-9.9.dist-info" / "METADATA").write_text("Name: edgespiral\nVersion: 9.9\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        patch.setenv("RAY_ADDRESS", made.address)
        other = {"PYTHONPATH": str(site)}
        made.add_node(num_cpus=2, resources={"device:far": 1}, env_vars=other)
        yield made
        ray.shutdown()
        made.shutdown()


def opened(path, tmp_path, heard, devices=None, **settings):
    runs = runs_of(load_sweep(path), str(path))
    out = tmp_path / "out"
    out.mkdir(parents=True)
    devices = devices or Devices.of(runs)
    return runs, OnRay(out, RaySettings(**settings), devices, None, heard.append)


def test_a_run_whose_node_is_lost_goes_on_at_another(cluster, sweep_file, tmp_path, monkeypatch):
    heard, begun, device = [], tmp_path / "begun", {"device:host-cpu": 1}
    monkeypatch.setattr(on_ray, "words_of", lambda _file: ["-c", WAITS, str(begun)])
    nodes = [
        cluster.add_node(num_cpus=1, resources=device, env_vars={"NODE": str(number)})
        for number in range(2)
    ]

    def lose():
        while not (begun.exists() and begun.read_text().endswith(" ")):
            time.sleep(0.05)
        number, _ = begun.read_text().split()
        cluster.remove_node(nodes.pop(int(number)), allow_graceful=False)

    losing = threading.Thread(target=lose)
    losing.start()
    runs, opening = opened(sweep_file("[vary]\nseed = [0]\n"), tmp_path, heard)
    with opening as sweep:
        [(run, problem)] = sweep.run(runs)
    losing.join()
    cluster.remove_node(nodes.pop())
    assert run is runs[0]
    assert problem == ("gone on with", 1)
    assert f"  {run.name}: its worker is lost; it goes on at another" in heard
    _, pid = begun.read_text().split()
    await_end(int(pid))


def test_a_node_of_another_version_is_left_out_and_told(cluster, sweep_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Ray's workers look for packages where their driver is
    monkeypatch.setattr(on_ray, "NODE_WITHIN_S", 0.0)
    heard, path = [], sweep_file("[vary]\nseed = [0]\n")
    devices = Devices(own={"host-cpu": "device:far"})
    texts = []
    for cpus in (4, 2):
        runs, opening = opened(path, tmp_path / str(cpus), heard, devices, cpus=cpus)
        with opening as sweep:
            [(run, problem)] = sweep.run(runs)
        assert run is runs[0]
        assert problem is not None
        assert problem.code == 2
        texts.append(problem.text)
    none = "no node of the Ray cluster that can do it has "
    assert texts[0] == f"{none}4 CPU, 1 device:far"
    assert texts[1].startswith(f"{none}2 CPU, 1 device:far: the Ray worker on ")
    assert "has edgespiral 9.9, not " in texts[1]
    [told] = [line for line in heard if "left out" in line]
    assert any("no node has CPU 4, device:far 1 now" in line for line in heard)
    assert "a node is left out: the Ray worker on " in told


def test_a_board_is_held_by_one_at_a_time_whatever_the_node(cluster, tmp_path, monkeypatch):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    owner = cluster.add_node(num_cpus=1, resources={"device:board": 1})
    variables = {
        SHARED: "1",
        RESOURCES: json.dumps({device_key(BOARD): "device:board"}),
        "RAY_ADDRESS": cluster.address,
        "PWD": str(Path.cwd()),
    }
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[run_on_worker.__module__])
    going = []
    for number, node in enumerate(nodes):
        remote = ray.remote(run_on_worker).options(label_selector={"ray.io/node-id": node.node_id})
        # Their locks of one machine are apart, as they are on several.
        own = variables | {"XDG_CACHE_HOME": str(tmp_path / f"cache-{number}")}
        words = ["-c", HOLDS, str(tmp_path / f"held-{number}")]
        version = run_on_worker.__globals__["version"]("edgespiral")
        going.append(remote.remote(words, str(tmp_path / f"{number}.log"), own, version))
    assert ray.get(going) == [(0, ""), (0, "")]
    first, second = sorted(
        tuple(map(float, (tmp_path / f"held-{number}").read_text().split())) for number in range(2)
    )
    assert first[1] <= second[0]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(one_at_a_time, "ASKED_EVERY_S", 0.1)
    cluster.remove_node(owner)
    with (
        pytest.raises(MeasurementError, match=r"device:board: no node .* any more"),
        alone_on(BOARD),
    ):
        pass
    ray.shutdown()
