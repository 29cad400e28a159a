"""A profile for a device that was surveyed, each setting with what speaks for it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.core.text import is_whole
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.settings import AS_WRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgespiral.measure.targets.survey import DeviceSurvey

PERF_TEST = "$ORT_PERF_TEST"
MOST_THREADS = 4
# Between the trip point at which a kernel slows a processor down and a void run, in C.
MARGIN_C = 1
JETSON_MAX_C = 85
OLDEST_PYTHON = (3, 10)
# As in trtexec_agent.py, which runs on devices alone.
ALWAYS_TYPED = 11


@dataclass(frozen=True)
class Setting:
    """One key of a profile, and why it has this value."""

    key: str
    value: object
    why: str = ""


def profile_text(
    name: str, transport: Mapping[str, object], device: DeviceSurvey, binary: str
) -> str:
    """The TOML file of a new profile.

    Args:
        name: of the profile.
        transport: its `[transport]`, without what has the default.
        device: what it says of itself.
        binary: the `onnxruntime_perf_test` for a phone, if that is what it needs.

    Raises:
        TargetError: nothing was found there that could run a model, or what was makes no profile.
    """
    kind, runtime = _runtime(device, binary)
    sections = {
        "runtime": runtime,
        "transport": _transport(transport, kind, device),
        "measure": _measure(kind, device),
        "device": _device(kind, device),
    }
    lines = [
        f"# {_device_name(device)}, as `edgespiral targets new` found it.",
        "# docs/targets.md explains each key.",
        "schema = 1",
        f"name = {json.dumps(name)}",
    ]
    for title, settings in sections.items():
        lines += ["", f"[{title}]", *_lines(settings)]
    text = "\n".join(lines) + "\n"
    try:
        TargetProfile.model_validate(tomllib.loads(text), context=AS_WRITTEN)
    except ValueError as error:
        what = "what the device says of itself makes no profile"
        where = device.way.get("connection")
        hint = "write one by hand: docs/targets.md"
        raise TargetError(what, where=where, hint=hint) from error
    return text


def _lines(settings: Iterable[Setting]) -> list[str]:
    lines = []
    for setting in settings:
        lines += [f"# {' '.join(setting.why.split())}"] if setting.why else []
        lines.append(f"{setting.key} = {json.dumps(setting.value, ensure_ascii=False)}")
    return lines


def _runtime(device: DeviceSurvey, binary: str) -> tuple[str, list[Setting]]:
    if device.get("trtexec"):
        return "tensorrt", _tensorrt(device)
    if device.get("onnxruntime") and _python(device) >= OLDEST_PYTHON:
        return "onnxruntime", _onnxruntime(device)
    if device.get("android"):
        return "android", _android(device, binary)
    python = device.get("python")
    if not python:
        what = "there is neither trtexec nor the Python that was asked"
        hint = "install Python 3.10 or later and onnxruntime there, or name another: --python"
    elif _python(device) < OLDEST_PYTHON:
        what, hint = f"its Python {python} is too old", "name Python 3.10 or later: --python"
    else:
        what = f"its Python {python} has no onnxruntime: {device.get('no_onnxruntime')}"
        hint = "install onnxruntime there, or name another Python: --python"
    raise TargetError(what, where=device.way.get("connection"), hint=hint)


def _python(device: DeviceSurvey) -> tuple[int, ...]:
    return tuple(int(part) for part in device.get("python").split(".")[:2] if part.isdecimal())


def _tensorrt(device: DeviceSurvey) -> list[Setting]:
    parts = [
        f"trtexec of TensorRT {_spelled(device.get('tensorrt'))} at {device.get('trtexec')}",
        device.get("jetpack") and f"JetPack {device.get('jetpack')}",
        device.get("l4t").lstrip("# ") and f"L4T {device.get('l4t').lstrip('# ')}",
    ]
    mode = device.get("power_mode")
    why = f"figures belong to the power mode (now {mode})" if mode else ""
    version = _version(device.get("tensorrt"))
    typed = Setting("strongly_typed", True, "from TensorRT 11 on there are no other networks")
    return [
        Setting("kind", "tensorrt", "; ".join(filter(None, parts))),
        Setting("precision", "fp16", why),
        *([typed] if version and version[0] >= ALWAYS_TYPED else []),
    ]


def _spelled(digits: str) -> str:
    version = _version(digits)
    return ".".join(map(str, version)) if version else "of an unknown version"


def _version(digits: str) -> tuple[int, int, int] | None:
    """TensorRT's version: two digits a part from 10 on, one for the major part before."""
    if not is_whole(digits, 0, 10**9):
        return None
    number = int(digits)
    unit = 1000 if number < 10_000 else 10_000
    return number // unit, number % unit // 100, number % 100


def _onnxruntime(device: DeviceSurvey) -> list[Setting]:
    others = [name for name in device.get("providers").split() if name != "CPUExecutionProvider"]
    listed = f"also there: {', '.join(others)}" if others else "the only one there"
    return [
        Setting(
            "kind",
            "onnxruntime",
            f"onnxruntime {device.get('onnxruntime')}, Python {device.get('python')}",
        ),
        Setting("precision", "fp32"),
        *_threads(device),
        Setting("provider", "CPUExecutionProvider", listed),
    ]


def _android(device: DeviceSurvey, binary: str) -> list[Setting]:
    description = f"Android {device.get('android')}, {device.get('architecture')}"
    why = "built for this processor by you: docs/targets.md, Android"
    return [
        Setting("kind", "android", description),
        Setting("precision", "fp32"),
        Setting("binary", binary, why),
        *_threads(device),
        Setting("provider", "CPUExecutionProvider"),
    ]


def _threads(device: DeviceSurvey) -> list[Setting]:
    speeds = device.numbers("speed")
    fastest = speeds.count(max(speeds)) if speeds else 0
    fastest_cores = f", {fastest} of them at {max(speeds) / 1e6:g} GHz" if speeds else ""
    governors = sorted(set(device.values.get("governor", ())))
    governor = f"; governor {', '.join(governors)}" if governors else ""
    number = min(fastest or int(device.get("cores") or 1), MOST_THREADS) if _is_arm(device) else 1
    return [
        Setting(
            "threads", number, f"cores: {device.get('cores') or 'unknown'}{fastest_cores}{governor}"
        )
    ]


def _transport(settings: Mapping[str, object], kind: str, device: DeviceSurvey) -> list[Setting]:
    rest = [Setting(key, value) for key, value in settings.items() if key != "kind"]
    timeout_s = {"local": 600}.get(str(settings["kind"]), 3600 if kind == "tensorrt" else 1800)
    return [
        Setting("kind", settings["kind"], device.way.get("connection", "")),
        *rest,
        Setting("timeout_s", timeout_s),
    ]


def _measure(kind: str, device: DeviceSurvey) -> list[Setting]:
    if kind == "onnxruntime":
        rounds = [Setting("warmup_ms", 200), Setting("rounds", 20), Setting("round_ms", 50)]
    else:
        slow = "each round starts the tool anew for each model"
        rounds = [Setting("warmup_ms", 500), Setting("rounds", 8, slow), Setting("round_ms", 300)]
    counts = [Setting("min_samples", 200 if kind == "tensorrt" else 100)]
    return [*rounds, *counts, Setting("max_samples", 20_000), *_temperature(kind, device)]


def _temperature(kind: str, device: DeviceSurvey) -> list[Setting]:
    if not device.numbers("temperature"):
        return []
    trips = [trip / 1000 for trip in device.numbers("trip") if trip > 1000]
    if trips:
        why = f"its kernel slows it down from {min(trips):g} C on"
        return [Setting("max_temp_c", min(trips) - MARGIN_C, why)]
    return [Setting("max_temp_c", JETSON_MAX_C)] if kind == "tensorrt" else []


def _device(kind: str, device: DeviceSurvey) -> list[Setting]:
    if kind == "tensorrt":
        multiple, why = 16, "fp16 tensor cores work on multiples of 8 channels, int8 ones of 16"
    elif "avx512f" in device.get("flags").split():
        multiple, why = 16, "with AVX-512, ONNX Runtime works in blocks of 16 channels"
    elif _is_arm(device):
        multiple, why = 4, "NEON registers hold four fp32 values"
    else:
        multiple, why = 8, "AVX registers hold eight fp32 values"
    return [
        Setting("channel_multiple", multiple, f"not measured: {why}"),
        Setting("description", f"{_device_name(device)}, {kind}"),
    ]


def _device_name(device: DeviceSurvey) -> str:
    names = ("model", "phone", "processor", "architecture")
    return " ".join(next(filter(None, map(device.get, names))).split())


def _is_arm(device: DeviceSurvey) -> bool:
    return device.get("architecture").startswith(("aarch64", "arm"))
