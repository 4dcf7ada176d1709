"""Calling a check on observations made by hand."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from auditor.core.advice import Step, one_line, parts
from auditor.core.check import Check, Seen
from auditor.core.figure import Bars, Lines
from auditor.core.finding import Judgement, Limit
from auditor.core.verdict import Verdict

Judged = Callable[..., Judgement]


@pytest.fixture(autouse=True)
def _code_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the code of every judgement that a test comes by read by its language."""
    judge = Check.__call__

    def judged(check: Check, seen: Seen, limits: Mapping[str, Limit] | None = None) -> Judgement:
        judgement = judge(check, seen, limits)
        code_compiles(judgement)
        return judgement

    monkeypatch.setattr(Check, "__call__", judged)


def code_compiles(judgement: Judgement) -> None:
    """Raise unless all code of the advice is code, and comes whole out of a record."""
    for line in judgement.advice:
        step = parts(one_line(line))
        assert "```" not in step.text
        assert isinstance(line, Step) == bool(step.code), "only a step has line breaks"
        if step.code:
            assert all(c.isprintable() for row in step.code.split("\n") for c in row)
        if step.language == "python":
            ast.parse(step.code)
        if step.language == "yaml":
            assert isinstance(yaml.safe_load(step.code), dict | list)


@pytest.fixture
def judged() -> Judged:
    """Return a function that judges answers and makes sure that the judgement is well-formed."""

    def judge(
        check: Check,
        answers: Mapping[Any, Any],
        limits: Mapping[str, Limit] | None = None,
        seed: int = 0,
    ) -> Judgement:
        judgement = check(Seen(answers, seed), None if limits is None else limits)
        well_formed(judgement)
        return judgement

    return judge


def well_formed(judgement: Judgement) -> None:
    """Raise AssertionError unless a report could be drawn from the judgement."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(Judgement)
    assert adapter.validate_json(adapter.dump_json(judgement)) is not None
    assert judgement.summary.endswith(".")
    assert judgement.summary[0].isupper() or not judgement.summary[0].isalpha()
    assert "  " not in judgement.summary
    assert "nan" not in judgement.summary.lower().replace("nan or", "").replace(" nan ", " ")
    if judgement.verdict in (Verdict.WARN, Verdict.FAIL):
        assert judgement.advice
    for step in judgement.advice:
        assert not step[:1].isdigit(), "the report numbers the steps"
    for metric in judgement.metrics:
        if metric.low is not None and metric.value is not None and metric.value == metric.value:
            assert metric.high is not None
            slack = 1e-9 * abs(metric.value) + 1e-12
            assert metric.low - slack <= metric.value <= metric.high + slack, metric
    for figure in judgement.figures:
        assert figure.caption
        if isinstance(figure, Bars):
            assert len(figure.labels) == len(figure.values)
            assert len(figure.low) in (0, len(figure.values))
            assert len(figure.marked) in (0, len(figure.values))
        if isinstance(figure, Lines):
            for series in figure.series:
                assert len(series.x) == len(series.y)
                assert len(series.low) in (0, len(series.x))
