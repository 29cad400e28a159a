"""This machine as the devices that tests measure on: an ssh board and an Android phone.

The fixtures are for every test (tests/conftest.py names this package as a plugin); a test that
says what it is given imports the types: `from devices import Board`.
"""

from devices.base import Device, Meanwhile, meanwhile
from devices.board import Board, board
from devices.phone import Phone, adb_server, benchmark_model, perf_test, phone

__all__ = [
    "Board",
    "Device",
    "Meanwhile",
    "Phone",
    "adb_server",
    "benchmark_model",
    "board",
    "meanwhile",
    "perf_test",
    "phone",
]
