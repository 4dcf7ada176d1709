"""What a check is: what it needs, its limits, and one pure function from answers to a judgement."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np

from auditor.core.finding import Judgement, Limit
from auditor.core.request import Failed, Request, Unavailable

T = TypeVar("T")

SectionId = Literal["start-simple", "loss", "internals", "parameters", "tracking"]

SECTIONS: Mapping[SectionId, str] = MappingProxyType(
    {
        "start-simple": "Start simple",
        "loss": "Confirm the loss",
        "internals": "Intermediate outputs and connections",
        "parameters": "Diagnose parameters",
        "tracking": "Track your work",
    }
)

HEADINGS = (
    "What it does",
    "Why it matters",
    "How it is measured",
    "When it misleads",
    "What to do",
    "Source",
)
"""The headings of every check's page, which is the docstring of its file. Its first line, above
them, names what the check finds."""


class Seen:
    """The answers a check asked for, by request, and its own random generator."""

    def __init__(self, answers: Mapping[Request[Any], object], seed: int = 0) -> None:
        self._answers = answers
        self.rng = np.random.default_rng(seed)

    def __getitem__(self, request: Request[T]) -> T:
        """Return the answer to a request named in the check's `needs`."""
        answer: Any = self._answers[request]
        return answer  # type: ignore[no-any-return]

    def get(self, request: Request[T]) -> T | None:
        """Return the answer to a request named in `wants`, or None where there is none."""
        answer: Any = self._answers.get(request)
        return None if isinstance(answer, Failed | Unavailable) else answer

    def missing(self, request: Request[Any]) -> str:
        """Return why `get` had no answer; empty where it had one."""
        answer = self._answers.get(request)
        return answer.reason if isinstance(answer, Failed | Unavailable) else ""


Limits = Mapping[str, Limit]
Judge = Callable[[Seen, Limits], Judgement]


@dataclass(frozen=True)
class Check:
    """A check, complete. Calling it judges.

    `needs` must all be answered before it is called; `wants` may be missing. `title` is a true
    sentence when the check passes, `failure_title` when it does not.
    """

    id: str
    section: SectionId
    title: str
    failure_title: str
    needs: tuple[Request[Any], ...]
    wants: tuple[Request[Any], ...]
    limits: Limits
    page: str
    judge: Judge

    def __call__(self, seen: Seen, limits: Limits | None = None) -> Judgement:
        """Judge what was seen, by the check's own limits unless others are given."""
        return self.judge(seen, self.limits if limits is None else limits)

    @property
    def finds(self) -> str:
        """Return what the check finds: the first line of its page, as it reads in a table."""
        first = " ".join(self.page.partition("\n\n")[0].split()).removesuffix(".")
        return (
            first if any(map(str.isupper, first.split()[0][1:])) else first[0].lower() + first[1:]
        )

    def heading(self, name: str) -> str:
        """Return the text below one heading of the check's page."""
        return sections_of(self.page)[name]


def check(
    *,
    title: str,
    failure_title: str,
    needs: tuple[Request[Any], ...],
    wants: tuple[Request[Any], ...] = (),
    limits: Limits | None = None,
) -> Callable[[Judge], Check]:
    """Make a check of the decorated function.

    The id is the name of its file, the section the folder it stands in, the page the docstring
    of the file.
    """

    def build(judge: Judge) -> Check:
        module = inspect.getmodule(judge)
        if module is None or not module.__doc__:
            raise TypeError(f"{judge.__module__}: a check's page is its module docstring")
        folder, name = module.__name__.replace("_", "-").split(".")[-2:]
        section = next((known for known in SECTIONS if known == folder), None)
        if section is None:
            raise TypeError(f"{module.__name__}: no section of the report is named {folder!r}")
        missing = [h for h in HEADINGS if h not in sections_of(module.__doc__)]
        if missing:
            raise TypeError(f"{module.__name__}: its page has no heading {missing[0]!r}")
        return Check(
            id=name,
            section=section,
            title=title,
            failure_title=failure_title,
            needs=needs,
            wants=wants,
            limits=MappingProxyType(dict(limits or {})),
            page=inspect.cleandoc(module.__doc__),
            judge=judge,
        )

    return build


def sections_of(page: str) -> dict[str, str]:
    """Return the text of a check's page by heading; a heading is underlined with dashes."""
    parts = re.split(r"^([A-Z][^\n]*)\n-{3,}\n", inspect.cleandoc(page), flags=re.MULTILINE)
    return {
        heading.strip(): text.strip()
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }
