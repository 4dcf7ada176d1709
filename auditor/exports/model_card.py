"""A model card for the Hugging Face Hub: measured metrics as its `model-index`, and a section."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from auditor.core.finding import Metric
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text
from auditor.report.markdown import escaped
from auditor.report.view import PageView, view_page
from auditor.report.wording import interval, number

START, END = "<!-- audit:start -->", "<!-- audit:end -->"

MEASURED = (
    ("claims-do-not-hold", re.compile(r"(?P<name>.+)")),
    ("no-better-than-baseline", re.compile(r"(?P<name>.+) of the model")),
    ("overfitted", re.compile(r"(?P<name>.+), validation")),
)
"""Where what was measured on validation data stands, under which names; the surest first."""

_TYPES = {
    "acc": "accuracy",
    "squared error": "mse",
    "absolute error": "mae",
    "balanced accuracy": "balanced_accuracy",
    "cross-entropy": "cross_entropy",
}
"""Names of metrics on the Hub, where they are not the name itself."""

_MOST = 20


@dataclass(frozen=True)
class About:
    """What a card says of the results and no record knows."""

    name: str | None = None
    task: str | None = None
    dataset: str | None = None
    source: str | None = None


def measured(record: AuditRecord) -> Iterator[tuple[str, Metric]]:
    """Yield what was measured of the model on validation data, each kind once.

    Of claims only those of the spec count: what a checkpoint records has names of all sorts.
    """
    known = {finding.check: finding for finding in record.findings}
    claimed = record.spec.get("claims") or {}
    given: set[str] = set()
    for check, pattern in MEASURED:
        for metric in known[check].metrics if check in known else ():
            found = pattern.fullmatch(metric.name)
            if found is None or metric.value is None:
                continue
            name = found["name"]
            declared = check != "claims-do-not-hold" or name in claimed
            if declared and _type(name) not in given:
                given.add(_type(name))
                yield name, metric


def result_of(record: AuditRecord, about: About) -> dict[str, Any] | None:
    """Return one result of a `model-index`, or None where nothing was measured."""
    metrics = [
        {
            "type": _type(name),
            "value": float(f"{metric.value:.6g}"),
            "name": clean_text(name, 80),
            "verified": False,
        }
        for name, metric in measured(record)
        if metric.value is not None and math.isfinite(metric.value)
    ][:_MOST]
    if not metrics:
        return None
    loader = str(record.spec.get("data", {}).get("val") or "validation data")
    dataset = about.dataset or clean_text(loader, 120)
    result: dict[str, Any] = {
        "task": {"type": about.task or task_of(record)},
        "dataset": {"type": dataset, "name": dataset, "split": "validation"},
        "metrics": metrics,
    }
    if about.source:
        result["source"] = {"name": "audit", "url": about.source}
    return result


def task_of(record: AuditRecord) -> str:
    """Return the Hub's name of the task, as task and inputs tell it."""
    task = record.subject.task
    split = record.subject.data.get("val")
    shape = split.input_shapes[0] if split is not None and split.input_shapes else ""
    axes, floats = shape.count(",") + 1, "float" in shape
    match task:
        case "language_model":
            return "text-generation"
        case "segmentation":
            return "image-segmentation"
        case "regression":
            return "tabular-regression" if axes == 2 and floats else "other"
        case "multiclass" | "binary" | "multilabel" if axes == 4 and floats:
            return "image-classification"
        case "multiclass" | "binary" | "multilabel" if axes == 2:
            return "tabular-classification" if floats else "text-classification"
        case _:
            return "other"


def section_of(record: AuditRecord) -> str:
    """Return the section of the card, between the marks by which it is found again."""
    page = view_page(record)
    blocks = [
        START,
        "## Audit",
        f"{page.word} on {escaped(_row(page, 'Audited'))}. {escaped(page.headline)}",
        _sections(page),
        _measures(record),
        _findings("What speaks against it", page.found),
        _findings("Waived", [one for section in page.sections for one in section.waived]),
        _file(record, page),
        END,
    ]
    return "\n\n".join(filter(None, blocks))


def _sections(page: PageView) -> str:
    lines = ["| Section | Verdict | Findings |", "|---|---|---|"]
    for section in page.sections[:_MOST]:
        counts = ", ".join(count.text for count in section.counts)
        lines.append(f"| {escaped(section.title)} | {section.word} | {counts} |")
    return "\n".join(lines)


def _measures(record: AuditRecord) -> str:
    lines = [
        f"| {escaped(clean_text(name, 80))} | {escaped(number(metric.value, metric.unit))} | "
        f"{escaped(interval(metric.low, metric.high, metric.unit)) or '–'} |"
        for name, metric in measured(record)
    ]
    head = ["| On validation data | Value | 95 % interval |", "|---|--:|--:|"]
    return "\n".join([*head, *lines[:_MOST]]) if lines else ""


def _findings(title: str, found: Iterable[Any]) -> str:
    lines = [
        f"- {escaped(one.title)} ({one.word.lower()})"
        + (f": {escaped(''.join(span.text for span in one.waived))}" if one.waived else "")
        for one in found
    ]
    more = [f"- {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join([f"{title}:", "", *lines[:_MOST], *more]) if lines else ""


def _file(record: AuditRecord, page: PageView) -> str:
    checkpoint = record.subject.checkpoint
    digest = ""
    if checkpoint is not None:
        digest = f"; checkpoint SHA-256 <code>{escaped(clean_text(checkpoint.sha256, 80))}</code>"
    return f"Looked at: {escaped(_row(page, 'Data'))}{digest}."


def _row(page: PageView, name: str) -> str:
    return dict(page.facts).get(name, "")


def _type(name: str) -> str:
    """Return what the Hub calls a metric."""
    slug = re.sub(r"[^a-z0-9]+", "_", name[:80].lower()).strip("_")
    return _TYPES.get(name) or slug or "metric"
