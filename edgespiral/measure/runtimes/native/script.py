"""What runs on a device without Python: a shell script that starts the user's program.

It needs a POSIX shell and what Android's toybox has. What the program writes is handed on as it is,
between lines that begin with `@ `; reading it is the host's part. Arithmetic is in whole
microseconds below 2^31, which is what Android's mksh has.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent import orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.measure.runtimes.base import Job
    from edgespiral.measure.runtimes.native.settings import NativeSettings

LONGEST_US = 2_000_000_000
# Comes after assignments: tool, threads, cores, root. Gives `kept` (runs a command on the cores
# that were chosen), `facts`, `state` and `filling`.
PRELUDE = """
# A number has a point, wherever the device's user lives.
export LC_ALL=C
cpus=$root/sys/devices/system/cpu
export LD_LIBRARY_PATH="$PWD${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# The fastest cores, in groups of equal speed, until there is one for every thread.
fastest() {
    for file in "$cpus"/cpu[0-9]*/cpufreq/cpuinfo_max_freq; do
        [ -r "$file" ] || continue
        core=${file#"$cpus/cpu"}
        echo "$(cat "$file") ${core%%/*}"
    done | sort -rn
}
mask=0 taken=0 last= pinned=
pin() { mask=$((mask | 1 << $1)) taken=$((taken + 1)) pinned="$pinned $1"; }
if [ -n "$cores" ]; then
    for core in $cores; do pin "$core"; done
else
    while read -r speed core; do
        [ -n "$core" ] || continue
        [ "$speed" = "$last" ] || [ "$taken" -lt "$threads" ] || break
        pin "$core" && last=$speed
    done <<EOF
$(fastest)
EOF
fi
available=$taken
[ "$available" -gt 0 ] || available=$(ls -d "$cpus"/cpu[0-9]* 2>/dev/null | wc -l)
[ "$available" = 0 ] || [ "$threads" -le "$available" ] || {
    echo "@ crowded $threads $available"
    exit 1
}
mask=$(printf %x "$mask")
[ "$mask" = 0 ] || taskset "$mask" true || { echo "@ unpinnable$pinned"; exit 1; }
kept() { if [ "$mask" = 0 ]; then "$@"; else taskset "$mask" "$@"; fi; }

facts() {
    for name in manufacturer model; do echo "$name=$(getprop "ro.product.$name" 2>/dev/null)"; done
    echo "soc=$(getprop ro.soc.model 2>/dev/null)"
    echo "android=$(getprop ro.build.version.release 2>/dev/null)"
    echo "architecture=$(uname -m)"
    echo "system=$(uname -s) $(uname -r)"
    echo "pinned=$pinned"
    echo "cores=$(ls -d "$cpus"/cpu[0-9]* 2>/dev/null | wc -l)"
}
state() {
    for core in ${pinned:-0}; do
        for name in scaling_governor scaling_cur_freq scaling_max_freq; do
            echo "$name=$(cat "$cpus/cpu$core/cpufreq/$name" 2>/dev/null)"
        done
    done
    for zone in "$root"/sys/class/thermal/thermal_zone*; do
        [ -r "$zone/temp" ] && echo "zone=$(cat "$zone/type" 2>/dev/null) $(cat "$zone/temp")"
    done 2>/dev/null
    echo "low_power=$(settings get global low_power 2>/dev/null)"
    dumpsys thermalservice 2>/dev/null
}
# As many runs of `us` as fill a time, within bounds.
filling() {
    wanted=$(($1 / us))
    [ "$wanted" -ge "$2" ] || wanted=$2
    [ "$wanted" -le "$3" ] || wanted=$3
    echo "$wanted"
}
# The model's program failed or said nothing of use: what it said last is told.
ended() { echo "@ $1"; tail -c 2000 said; exit 1; }

chmod 700 "$tool" || exit 1
"""


def assignments(
    job: Job, settings: NativeSettings, tool: str, system_root: str
) -> dict[str, object]:
    """What every script is told of a job.

    Args:
        job: what is asked.
        settings: of the program.
        tool: its name on the device.
        system_root: the folder that holds the device's `sys`; empty for its own.
    """
    shuffled = orders(len(job.models), job.rounds)
    named = settings.affinity
    return {
        "tool": f"./{tool}",
        "mode": job.mode,
        "root": system_root,
        "threads": settings.threads,
        "cores": "" if named == "big" else " ".join(map(str, named)),
        "models": " ".join(map(str, range(len(job.models)))),
        "rounds": "\n".join(" ".join(map(str, order)) for order in shuffled),
        "round_us": min(round(1e3 * job.round_ms), LONGEST_US),
        "warmup_us": min(round(1e3 * job.warmup_ms), LONGEST_US),
        "least": job.min_round_samples,
        "most": job.max_round_samples,
    }


def script(values: Mapping[str, object], body: str) -> str:
    """A whole script: what it is told, what all have in common, and a program's own part."""
    lines = [f"{key}={shlex.quote(str(value))}" for key, value in values.items()]
    return "\n".join(lines) + "\n" + PRELUDE + body
