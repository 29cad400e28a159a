"""Times how long it takes to decode files: `decode_agent.py request.json` prints one document.

It lies on the device beside `agent.py`, whose clock and rounds it uses, and `decoding.py`, which it
times. Files are read before: a frame comes from a camera, a network or a disk.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import Process, measure, package, serve  # type: ignore[import-not-found]

if TYPE_CHECKING:
    Json = dict[str, Any]

# A file in memory is there at once, and loads are to be above 0.
LOAD_MS = 1e-6
PACKAGES = {"picture": "PIL", "sound": "numpy"}
INSTALLED_AS = {"PIL": "Pillow", "numpy": "NumPy"}


class Loaded:
    """One file in memory, ready to be decoded."""

    def __init__(self, index: int, request: Json) -> None:
        from decoding import decoded  # type: ignore[import-not-found]

        self.index, self.load_ms = index, LOAD_MS
        content = Path(request["models"][index]).read_bytes()
        how = (request["kind"], request["draft"], request["upright"])
        self.run = lambda: decoded(content, *how)


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    package("numpy")
    name = PACKAGES[request["kind"]]
    runtime = {
        "runtime": INSTALLED_AS[name],
        "runtime_version": package(name).__version__,
        "provider": "decoding",
    }
    return {**process.document(runtime), "samples": measure(request, Loaded)}


if __name__ == "__main__":
    serve(main)
