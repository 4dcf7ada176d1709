"""Whose doing it is where a piece of work left something changed: a check's, or the subject's own.

The subject's code may do as it likes with its process: nobody is blamed for that.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, get_args

from auditor.core.process_state import left_changed
from auditor.core.request import Depth, Failed, Mode, Riding, Sweep
from auditor.engine.sweep import run_sweep
from auditor.intake.subject import Subject
from auditor.intake.watch import watched
from auditor.observers.observer import Observer

Observers = Callable[[Iterable[Riding[Any]]], Mapping[Riding[Any], Observer]]


def own_doing(subject: Subject, left: Iterable[str]) -> Failed | None:
    """Return what an experiment is to be blamed for of what was left changed after it."""
    own = _subjects_doing(subject)
    blamed = [name for name in dict.fromkeys(left) if name not in own]
    return Failed(f"the experiment {left_changed(blamed)}") if blamed else None


def culprits(
    subject: Subject, sweep: Sweep, requests: Iterable[Riding[Any]], observers: Observers,
    left: Iterable[str],
) -> dict[Riding[Any], Failed]:  # fmt: skip
    """Return which riders of a sweep leave something changed: each is asked alone, once more."""
    wanted = set(left) - _subjects_doing(subject)
    found: dict[Riding[Any], Failed] = {}
    for request in requests if wanted else ():
        alone: list[str] = []
        rider = observers([request])
        list(run_sweep(subject, sweep, rider, left=alone))
        if blamed := [name for name in dict.fromkeys(alone) if name in wanted]:
            found[request] = Failed(f"{type(rider[request]).__name__} {left_changed(blamed)}")
    return found


def _subjects_doing(subject: Subject) -> set[str]:
    """Return what the subject's own loaders, model, loss and factory leave changed."""
    left: list[str] = []
    for split in subject.data:
        for mode in get_args(Mode):
            bare: dict[Riding[Any], Observer] = {_Bare(2, split): _Nobody()}
            list(run_sweep(subject, Sweep(split, mode), bare, left=left))
    if subject.factory is not None:
        with watched(None, left):
            subject.fresh(0)
    return set(left)


@dataclass(frozen=True)
class _Bare(Riding[None]):
    """Asks for nothing but that the sweep runs, backward too."""

    answer: ClassVar = NoneType
    depth: ClassVar = Depth.BACKWARD


class _Nobody(Observer):
    def result(self) -> None:
        """Return nothing."""
