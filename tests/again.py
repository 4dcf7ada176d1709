"""Auditing a live subject again, with the first audit of it to compare with."""

from dataclasses import replace
from typing import Any

import torch

from auditor.api import Record
from auditor.core.finding import Finding
from tests.subjects import Live

CHECKS = ("data-changed", "worse-than-before")


def first(live: Live) -> Record:
    """Return an audit that a later one compares with."""
    return live.audited(*CHECKS)


def compared(live: Live, before: Record, **options: Any) -> dict[str, Finding]:
    """Return what is found of a subject beside an earlier audit of it."""
    again = replace(live, options={**live.options, "baseline": before, **options})
    return {finding.check: finding for finding in again.audited(*CHECKS).findings}


def together(batches: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs and the targets of all batches."""
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def batched(inputs: torch.Tensor, targets: torch.Tensor, size: int = 32) -> list[Any]:
    """Return batches in the order of the examples."""
    return list(zip(inputs.split(size), targets.split(size), strict=True))
