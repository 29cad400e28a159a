"""What a device has, as far as its shell can tell: the ground for a new profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.config import config_errors
from edgespiral.core.errors import TargetError, UsageError
from edgespiral.measure.profile import TargetProfile

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER = re.compile("-?[0-9]{1,12}")
NUMBERS = dict.fromkeys(("speed", "trip", "temperature", "tensorrt"), NUMBER) | {
    "cores": re.compile("[1-9][0-9]{0,5}"),
    "python": re.compile(r"[0-9]{1,3}(\.[0-9a-z+]{1,20})+"),
}
LONGEST_VALUE = 4000

# Argument: the Python to ask. Prints `key=value` lines; a key may come more than once.
SCRIPT = """
say() { echo "$1=$(echo "$2" | tr -d '\\000\\r' | head -n 1)"; }
say system "$(uname -s) $(uname -r)"
say architecture "$(uname -m)"
say model "$(tr -d '\\000' </proc/device-tree/model 2>/dev/null)"
say android "$(getprop ro.build.version.release 2>/dev/null)"
say phone "$(getprop ro.product.manufacturer 2>/dev/null) $(getprop ro.product.model 2>/dev/null)"
say processor "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null)"
say flags "$(sed -n 's/^flags[^:]*: *//p; s/^Features[^:]*: *//p' /proc/cpuinfo 2>/dev/null)"
# nproc would count what OMP_NUM_THREADS says.
say cores "$(env -u OMP_NUM_THREADS nproc 2>/dev/null)"
for cpu in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
    [ -d "$cpu" ] || continue
    say speed "$(cat "$cpu/cpuinfo_max_freq" 2>/dev/null)"
    say governor "$(cat "$cpu/scaling_governor" 2>/dev/null)"
done
for type in /sys/class/thermal/thermal_zone*/trip_point_*_type; do
    [ "$(cat "$type" 2>/dev/null)" = passive ] || continue
    say trip "$(cat "${type%_type}_temp" 2>/dev/null)"
done
for zone in /sys/class/thermal/thermal_zone*/temp; do
    [ -r "$zone" ] && say temperature "$(cat "$zone" 2>/dev/null)"
done
say l4t "$(head -n 1 /etc/nv_tegra_release 2>/dev/null)"
say jetpack "$(dpkg-query -W -f '${Version}' nvidia-jetpack 2>/dev/null)"
say power_mode "$(PATH=$PATH:/usr/sbin nvpmodel -q 2>/dev/null | sed -n 's/^NV Power Mode: *//p')"
PATH=$PATH:/usr/src/tensorrt/bin:/usr/local/tensorrt/bin
tool=$(command -v trtexec)
say trtexec "$tool"
version='s/.*TensorRT v\\([0-9]*\\).*/\\1/p'
[ -z "$tool" ] || say tensorrt "$("$tool" --help 2>/dev/null | sed -n "$version")"
"$1" -c '
import platform
print("python=" + platform.python_version())
try:
    import onnxruntime
    print("onnxruntime=" + onnxruntime.__version__)
    print("providers=" + " ".join(onnxruntime.get_available_providers()))
except ImportError as error:
    print("no_onnxruntime=" + str(error).splitlines()[0])
' 2>/dev/null
exit 0
"""


@dataclass(frozen=True)
class DeviceSurvey:
    """What was found on a device: every value of every key that it knows.

    Attributes:
        way: how it was reached.
    """

    way: Mapping[str, str]
    values: Mapping[str, tuple[str, ...]]

    def get(self, key: str) -> str:
        """The first value of a key; empty where there is none."""
        return next(iter(self.values.get(key, ())), "")

    def numbers(self, key: str) -> list[int]:
        """All values of a key that are whole numbers."""
        return [int(value) for value in self.values.get(key, ())]


def at_once(profile: TargetProfile) -> TargetProfile:
    """`profile`, but a device that cannot be reached is not awaited: a person is waiting."""
    if not hasattr(profile.transport, "retry_s"):
        return profile
    transport = profile.transport.model_copy(update={"retry_s": 0.0})
    return profile.model_copy(update={"transport": transport})


def survey(name: str, transport: Mapping[str, object]) -> DeviceSurvey:
    """Ask the device that these settings of a `[transport]` reach.

    Raises:
        UsageError: the settings are wrong.
        TargetError: the device cannot be reached or used, or does not answer.
    """
    profile = at_once(_profile(name, transport))
    way = profile.transport_plugin.make(profile.transport, None)
    with way:
        command = ["sh", "-c", SCRIPT, "edgespiral", way.python]
        done = way.repeated(lambda: way.run(command, profile.transport.timeout_s))
        way_there = way.way()
    values = read_survey(done.stdout)
    if "architecture" not in values:
        raise TargetError(f"its shell {done.failure()}", where=name)
    return DeviceSurvey(way_there, values)


def _profile(name: str, transport: Mapping[str, object]) -> TargetProfile:
    """A profile that reaches the device; what would run there is not known yet."""
    values = {"schema": 1, "name": name, "runtime": {"kind": "onnxruntime"}, "transport": transport}
    try:
        return TargetProfile.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(config_errors(error, TargetProfile, str))) from error


def read_survey(output: str) -> dict[str, tuple[str, ...]]:
    """The values in a survey's output, without empty ones and those that are no number."""
    lines_by_key: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, equals, text = line.partition("=")
        # It is written into a file that people read and a parser too.
        value = "".join(c if c.isprintable() else " " for c in text[:LONGEST_VALUE]).strip()
        if equals and value and (key not in NUMBERS or NUMBERS[key].fullmatch(value)):
            lines_by_key.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in lines_by_key.items()}
