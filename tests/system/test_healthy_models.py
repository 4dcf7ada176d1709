"""Every check stays silent on healthy models of many families."""

import json

import pytest

from auditor.checks import catalogue
from auditor.core.verdict import Verdict
from tests.subjects import SAMPLES as FOLDER
from tests.subjects import Live
from tests.zoo import SAMPLES, TRAINED, healthy

QUIET = (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)

OF_THE_FOLDER = {"environment-unrecorded", "environment-changed", "code-unversioned"}
"""Checks of what was written down: what they say hangs on files and commits, not on the model."""


def alarms(live: Live) -> dict[str, str]:
    return {
        found.check: found.summary
        for found in live.audited().findings
        if found.verdict not in QUIET and found.check not in OF_THE_FOLDER
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_raise_nothing(name: str) -> None:
    """One of each family; `make benchmark-detection` audits its own with three seeds."""
    assert alarms(healthy(name)) == {}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_raise_nothing(name: str) -> None:
    """`test_samples` audits them whole, and proves that these are the verdicts they get."""
    expected = json.loads((FOLDER / name / "expected.json").read_text())
    raised = {check for check, verdict in expected["checks"].items() if verdict not in QUIET}
    assert raised <= OF_THE_FOLDER
    assert set(expected["checks"]) == {check.id for check in catalogue()}
