"""What tells subjects apart, and their findings, the same from audit to audit."""

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, order=True)
class Identity:
    """What two audits of one subject share: weights, data and limits may differ."""

    name: str
    factory: str
    task: str
    """Empty where it is not known."""


class SubjectLike(Protocol):
    """A subject, as a record or a glance at it tells it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def factory(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str | None: ...  # noqa: D102


class PlaceLike(Protocol):
    """A place of a finding, as a record or a glance at it tells it."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102


def identity_of(subject: SubjectLike) -> Identity:
    """Return the identity of a subject."""
    return Identity(*map(_written, (subject.name, subject.factory, subject.task or "")))


def fingerprint(check: str, subject: Identity, place: PlaceLike | None = None) -> str:
    """Return 64 hexadecimal digits that a finding of a subject has in every audit.

    A finding with several places has one for each; one without a place is the subject's as a
    whole. Verdict, words and measures do not count.
    """
    where = ("", "") if place is None else (place.kind, place.name)
    whole = [check, subject.name, subject.factory, subject.task, *where]
    return hashlib.sha256(json.dumps([*map(_written, whole)]).encode("ascii")).hexdigest()


def _written(text: str) -> str:
    """Return text as it is read back from a record, which makes half characters visible."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
