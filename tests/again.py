"""Auditing a live subject again, with the first audit of it to compare with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from auditor.checks import find
from auditor.core.finding import Finding
from auditor.core.spec_file import spec_from
from auditor.core.verdict import Verdict, worst
from auditor.engine.judge import findings_of
from auditor.engine.perform import perform
from auditor.engine.plan import planned
from auditor.intake.live import live_parts
from auditor.intake.subject import assemble
from auditor.observations.earlier import Earlier, Which
from auditor.observations.example_scores import scores_seen
from tests.subjects import Live

CHECKS = ("data-changed", "worse-than-before")


def seen_again(
    live: Live,
    earlier: Mapping[Which, Earlier] | None = None,
    *,
    profile: Any = "standard",
    checkpoint: str = "",
) -> tuple[dict[str, Finding], Earlier]:
    """Return what the checks that compare audits find, and what a later audit compares with."""
    spec = spec_from({"audit": {"profile": profile, "device": "cpu"}}, "a test", Path())
    parts = live_parts(live.model, live.factory, live.loss, live.train, live.val, None, None, "cpu")
    subject = assemble(replace(parts, earlier=earlier or {}), spec)
    checks = [find(name) for name in CHECKS]
    plan = planned(checks, profile, subject.facts)
    answers: dict[Any, Any] = {}
    for work in plan.work:
        answers.update(perform(work, subject))
    found = findings_of(
        checks, lambda check: check.limits, answers, plan.unavailable, spec, subject.facts
    )
    now = Earlier(
        source="the audit before",
        started="2026-01-01T00:00:00+00:00",
        verdict=worst(finding.verdict for _, finding in found) or Verdict.PASS,
        checkpoint=checkpoint,
        environment={"torch": str(torch.__version__)},
        data=subject.facts.data,
        scores=scores_seen(answers, lambda request: request.at(profile, subject.facts.has)),
    )
    return {check.id: finding for check, finding in found}, now


def compared(live: Live, before: Earlier, **options: Any) -> dict[str, Finding]:
    """Return what is found of a subject beside an earlier audit of it."""
    return seen_again(live, {"last": before, "accepted": before}, **options)[0]


def together(batches: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs and the targets of all batches."""
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def batched(inputs: torch.Tensor, targets: torch.Tensor, size: int = 32) -> list[Any]:
    """Return batches in the order of the examples."""
    return list(zip(inputs.split(size), targets.split(size), strict=True))
