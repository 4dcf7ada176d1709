"""Requests: plain values that say what a check needs to have seen."""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

T_co = TypeVar("T_co", covariant=True)

Split = Literal["train", "val"]
Mode = Literal["eval", "train"]
Capability = Literal[
    "model", "weights", "train", "val", "loss", "factory", "optimizer", "batch_norm", "earlier"
]
Profile = Literal["quick", "standard", "deep"]

SCALE: dict[Profile, float] = {"quick": 0.25, "standard": 1.0, "deep": 4.0}
"""How many times the standard number of batches, steps or seeds a profile spends."""


class Depth(IntEnum):
    """How deep into the model an answer reaches."""

    STATIC = 0
    FORWARD = 1
    BACKWARD = 2


@dataclass(frozen=True, order=True)
class Sweep:
    """One traversal of a split with the model in one mode."""

    split: Split
    mode: Mode

    def __str__(self) -> str:
        return f"{self.split} data, {self.mode} mode"


@dataclass(frozen=True)
class Cost:
    """Model passes: one forward, or one backward, of one batch each."""

    forwards: int = 0
    backwards: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.forwards + other.forwards, self.backwards + other.backwards)


@dataclass(frozen=True)
class Request(Generic[T_co]):
    """What a check needs to have seen. Equal requests are one piece of work.

    Each kind says in class variables the type of its answer, how deep it reaches, what the
    subject must have for it, and which of its fields grow with the profile. Field values are
    those of the standard profile. Where `at_most` is set the work may stop before it has cost
    what was planned: it has seen enough, or the model is a costly one.
    """

    answer: ClassVar[type[Any]]
    depth: ClassVar[Depth] = Depth.STATIC
    requires: ClassVar[frozenset[Capability]] = frozenset()
    scaled: ClassVar[tuple[str, ...]] = ()
    at_most: ClassVar[bool] = False

    def at(self, profile: Profile, has: frozenset[Capability]) -> Self:
        """Return this request with its amounts at `profile`, its split settled by what there is."""
        changes: dict[str, Any] = {
            name: max(1, round(getattr(self, name) * SCALE[profile])) for name in self.scaled
        }
        if getattr(self, "split", None) == "train_or_val":
            changes["split"] = "train" if "train" in has else "val"
        return replace(self, **changes)

    @property
    def sweep(self) -> Sweep | None:
        """Return the sweep that this request rides, or None where an experiment answers it."""
        return None

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have for this request to be answered, its split included."""
        split = getattr(self, "split", None)
        return self.requires if split is None else self.requires | {_given(split)}

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of an experiment, given how many batches each split has."""
        return Cost()

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int] | None:
        """Return how many batches of each split the longest run over them takes.

        A training run that begins a split again is given further batches. None where not known.
        """
        return {} if self.depth is Depth.STATIC else None

    @property
    def key(self) -> str:
        """Return a name that equal requests share and different ones do not."""
        inner = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return f"{type(self).__name__}({inner})"


@dataclass(frozen=True)
class Riding(Request[T_co]):
    """A request that is answered in passing, by a sweep over some batches of a split."""

    batches: int = 16
    split: Literal["train", "val", "train_or_val"] = "val"

    mode: ClassVar[Mode] = "eval"
    scaled: ClassVar[tuple[str, ...]] = ("batches",)

    @property
    def sweep(self) -> Sweep:
        """Return the sweep that this request rides."""
        if self.split == "train_or_val":
            raise ValueError(f"{self.key} has not been settled with at()")
        return Sweep(self.split, self.mode)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that the sweep goes over."""
        split = self.sweep.split
        return {split: min(self.batches, batches.get(split, 0))}

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have, the split included."""
        return self.requires | {"model", _given(self.split)}


def _given(split: str) -> Capability:
    """Return what has to be given for a split; where either will do, `val` always is."""
    return "train" if split == "train" else "val"


@dataclass(frozen=True)
class Failed:
    """An answer that could not be had because something broke: an exception, a limit, a crash."""

    reason: str


@dataclass(frozen=True)
class Unavailable:
    """An answer that this subject can't give: no training data, no factory, no such layer."""

    reason: str


def request_to_json(request: Request[Any]) -> dict[str, Any]:
    """Return a request as plain values; `request_from_json` reads it back."""
    return {"kind": type(request).__name__} | {
        f.name: getattr(request, f.name) for f in fields(request)
    }


def request_from_json(value: dict[str, Any], kinds: dict[str, type[Request[Any]]]) -> Request[Any]:
    """Return the request written in `value`, one of the given kinds."""
    arguments = {name: field for name, field in value.items() if name != "kind"}
    return kinds[value["kind"]](**arguments)
