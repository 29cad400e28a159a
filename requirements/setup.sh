#!/usr/bin/env bash
# Makes .tools (uv, pinned) and .venv (the requirements, pinned and hashed, and this package).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $1" >&2
    exit 1
}

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if supported "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found (looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11}); install one, or name it: make setup PYTHON=/path/to/python"
}

install_uv() {
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        fail "$python has no venv module; install it (on Debian and Ubuntu: apt-get install python3-venv)"
    fi
    [ -x .tools/bin/python ] && supported .tools/bin/python || "$python" -m venv --clear .tools
    local log=.tools/pip.log
    .tools/bin/python -m pip install --quiet --disable-pip-version-check --retries 2 \
        --require-hashes -r requirements/uv.txt >"$log" 2>&1 ||
        { tail -n 3 "$log" >&2; fail "cannot install uv; a network that reaches the Python package index is needed (full log: $log)"; }
}

install_requirements() {
    [ -x .venv/bin/python ] && supported .venv/bin/python ||
        .tools/bin/uv venv --quiet --clear --python "$python" .venv
    echo "setup: installing the requirements into .venv ($(.venv/bin/python -V); the first time it downloads PyTorch)"
    VIRTUAL_ENV=.venv .tools/bin/uv pip sync --compile-bytecode --require-hashes requirements/dev.txt ||
        fail "cannot install requirements/dev.txt (the lines above say why); a network that reaches the Python package index is needed"
    VIRTUAL_ENV=.venv .tools/bin/uv pip install --quiet --no-deps -e . ||
        fail "cannot install this package (the lines above say why)"
}

python=$(find_python)
install_uv
install_requirements
