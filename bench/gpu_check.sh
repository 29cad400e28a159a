#!/bin/sh
# What only a machine with a GPU can show, in at most 8 minutes: sh bench/gpu_check.sh [--json FILE]
# `--on-cpu` does the same on the CPU, small. bench/gpu_check.py says what is checked.
set -eu
cd "$(dirname "$0")/.."
exec timeout --kill-after=10 480 "${PYTHON:-python}" bench/gpu_check.py "$@"
