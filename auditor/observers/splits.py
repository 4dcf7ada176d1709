"""The data as the intake read it, beside what a recording tells of the data of training."""

from collections.abc import Mapping
from typing import Any

import torch

from auditor.core.request import Split
from auditor.core.text import clean_text
from auditor.intake.subject import Subject
from auditor.observations.splits import RecordedSplit, SplitsOf, SplitsSeen

SPLITS: tuple[Split, ...] = ("train", "val")


def splits(request: SplitsOf, subject: Subject) -> SplitsSeen:
    """Return what the intake read of the data, and what a recording tells of that of training."""
    checkpoint = subject.checkpoint
    header = checkpoint.recorded if checkpoint is not None else None
    told = {name: _recorded(header.data.get(name, {})) for name in SPLITS} if header else {}
    recorded = {name: split for name, split in told.items() if split is not None}
    return SplitsSeen(
        data=subject.facts.data,
        torch=str(torch.__version__),
        checkpoint=checkpoint.facts.sha256 if checkpoint is not None else "",
        recorded=recorded or None,
        source=header.name if header is not None and recorded else "",
        seed=subject.seed,
    )


def _recorded(facts: Mapping[str, Any]) -> RecordedSplit | None:
    """Return what a header tells of a split, None where it has no fingerprint of it."""
    fingerprint, examples = facts.get("fingerprint"), facts.get("examples")
    if not isinstance(fingerprint, str) or not fingerprint:
        return None
    counted = isinstance(examples, int) and not isinstance(examples, bool) and examples >= 0
    return RecordedSplit(
        clean_text(fingerprint, 64), examples if counted else None, facts.get("complete") is True
    )
