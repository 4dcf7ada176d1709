"""A reader for tests, which does to the process that runs it what its checkpoint's name says."""

import os
import time
from typing import Any

from auditor.opening.reading import Reading


def read(reading: Reading) -> tuple[str, Any]:
    """Do what the name says; return a tree if that did not end the process."""
    held: Any = {}
    match reading.path.stem:
        case "memory":
            held = bytearray(4 << 30)
        case "memory-bit-by-bit":
            held = []
            while True:
                held.append(bytes(1 << 20))
        case "computing":
            while True:
                pass
        case "waiting":
            time.sleep(600)
        case "writing":
            with (reading.path.parent / "written").open("wb") as file:
                while True:
                    file.write(bytes(1 << 20))
        case "dying":
            os.abort()
        case "leaving":
            os._exit(3)
        case "telling":
            held = {str(n): "x" * 60_000 for n in range(2_000)}
        case "nested":
            for _ in range(5_000):
                held = [held]
        case "raising":
            raise KeyError("\x1b[31m" + "x" * 5_000 + "\n" * 30)
        case "environment":
            held = dict(os.environ)
        case "changing":
            os.utime(reading.path)
    return "what a test made", held
