"""What examples that stand in the data more than once say about labels and splits."""

from dataclasses import dataclass

from auditor.core.finding import Limit
from auditor.observations.copies import Kind, kind_of
from auditor.observations.labels import LabelEvidence

NATURAL = 0.2
"""Share of examples that differ from another in one value, from which on repetitions are natural.
Of the Titanic's passengers they are 75 %, of names of people 5 %, of images none."""


@dataclass(frozen=True)
class Repeats:
    """Examples that are not alone: how many, and those that matter.

    `disputed` holds (split, example, label) of inputs under several labels; `shared` the
    validation examples that stand in training too, with one of their places there. `expected` is
    the share of training examples that stand there twice. `kind` tells what repetitions within
    training look like.
    """

    rows: int
    natural: bool
    disputed: tuple[tuple[str, int, int], ...]
    shared: tuple[tuple[int, int], ...]
    expected: float
    kind: Kind


def repeats(told: LabelEvidence, limit: Limit) -> Repeats:
    """Return what the repeated examples come to."""
    names = [split.split for split in told.splits]
    groups: dict[int, list[tuple[str, int, int]]] = {}
    for split, example, group, label in zip(
        told.repeated_split,
        told.repeated_example,
        told.repeated_group,
        told.repeated_label,
        strict=True,
    ):
        member = names[int(split)], int(example), int(label)
        groups.setdefault(int(group), []).append(member)
    disputed: list[tuple[str, int, int]] = []
    shared: list[tuple[int, int]] = []
    twice = 0
    for members in groups.values():
        if len({label for _, _, label in members}) > 1:
            disputed += members
        training = [example for split, example, _ in members if split == "train"]
        twice += len(training) if len(training) > 1 else 0
        if training:
            shared += [(n, training[0]) for split, n, _ in members if split == "val"]
    sizes = {split.split: split.examples for split in told.splits}
    natural = told.near > NATURAL
    kind = kind_of(told.copies, limit, natural=natural)
    # Where all of training was copied, that tells nothing of what else repeats itself.
    known = kind == "times"
    return Repeats(
        rows=len(told.repeated_split),
        natural=natural,
        disputed=tuple(disputed),
        shared=tuple(sorted(shared)),
        expected=0.0 if known else twice / max(1, sizes.get("train", 0)),
        kind=kind,
    )
