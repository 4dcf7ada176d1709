"""Faults that can be planted, by id: every `Fault` in a file of this folder."""

import importlib
import pkgutil

from benchmarks.detection.fault import Fault


def _found() -> dict[str, Fault]:
    faults: dict[str, Fault] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        found = [value for value in vars(module).values() if isinstance(value, Fault)]
        faults |= {fault.id: fault for fault in found}
    return faults


FAULTS = _found()
