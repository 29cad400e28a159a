"""A proxy on loopback that spoils connections as a plan says; one connection after another.

`python -m tests.faults.proxy PORT GOAL PLAN`: the plan is a JSON list with an entry for each spoilt
connection, in the order that they come: `after_bytes`, `how` and `to_device`. Later ones are whole.
Each spoilt one is a byte more in the file beside the plan that ends in `.spoilt`.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

BLOCK_BYTES, SILENT_S, DELAY_S = 4096, 30.0, 0.02
RESET = struct.pack("ii", 1, 0)
HOW = ("reset", "close", "half-close", "silence", "delay")


def main(port: int, goal: int, plan: Path) -> None:
    """Serve for ever."""
    spoilt = json.loads(plan.read_text())
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            client, _ = server.accept()
            fault = spoilt.pop(0) if spoilt else None
            if fault is not None:
                fault["tally"] = plan.with_suffix(".spoilt")
            threading.Thread(target=_joined, args=(client, goal, fault), daemon=True).start()


def _joined(client: socket.socket, goal: int, fault: dict[str, Any] | None) -> None:
    device = socket.create_connection(("127.0.0.1", goal))
    up = fault if fault and fault["to_device"] else None
    down = fault if fault and not fault["to_device"] else None
    pumps = (
        threading.Thread(target=_pump, args=(client, device, up), daemon=True),
        threading.Thread(target=_pump, args=(device, client, down), daemon=True),
    )
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    client.close()
    device.close()


def _pump(source: socket.socket, goal: socket.socket, fault: dict[str, Any] | None) -> None:
    left = fault["after_bytes"] if fault else None
    with suppress(OSError):
        while content := source.recv(BLOCK_BYTES):
            if left is not None and fault and left < len(content):
                goal.sendall(content[:left])
                with fault["tally"].open("ab") as tally:
                    tally.write(b".")
                if not _spoil(fault["how"], source, goal):
                    return
                content, left = content[left:], None
            goal.sendall(content)
            left = None if left is None else left - len(content)
            if fault and fault["how"] == "delay":
                time.sleep(DELAY_S)
    with suppress(OSError):
        goal.shutdown(socket.SHUT_WR)


def _spoil(how: str, source: socket.socket, goal: socket.socket) -> bool:
    """Do what is to be done to a connection; whether it goes on."""
    if how == "delay":
        return True
    if how == "silence":
        time.sleep(SILENT_S)
    for one in (source, goal):
        if how == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if how == "half-close":
            one.shutdown(socket.SHUT_WR)
        else:
            one.shutdown(socket.SHUT_RDWR)
            # A reset is sent when nobody has it any more.
            one.close()
    return False


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
