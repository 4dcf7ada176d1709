import pytest

from auditor.checks.tracking.environment_unrecorded import EVIDENCE, judge
from auditor.core.verdict import Verdict
from auditor.observations.environment import EnvironmentEvidence, Evidence


def seen(**items: str) -> dict:
    found = tuple(Evidence(item, value, "requirements.txt") for item, value in items.items())
    places = ("the checkpoint", "requirements.txt", "environment.yml")
    return {EVIDENCE: EnvironmentEvidence(found, places)}


@pytest.mark.parametrize(
    ("items", "verdict"),
    [
        ({"python": "3.11.7", "torch": "2.10.0+cpu"}, Verdict.PASS),
        ({"Python": "3.11.7", "Torch": "==2.10.0"}, Verdict.PASS),
        ({"torch": "2.10.0"}, Verdict.INFO),
        ({"python": "3.11.7"}, Verdict.WARN),
        ({"python": "3.11.7", "torch": ">=2.0"}, Verdict.WARN),
        ({"python": "3.11.7", "torch": "2.*"}, Verdict.WARN),
        ({"python": "3.11.7", "torch": ""}, Verdict.WARN),
        ({}, Verdict.WARN),
    ],
)
def test_what_has_to_be_recorded(judged, items: dict[str, str], verdict: Verdict) -> None:
    assert judged(judge, seen(**items)).verdict is verdict


def test_says_what_and_where(judged) -> None:
    found = judged(judge, seen(python="3.11.7", torch="2.10.0"))
    assert "Python 3.11.7 and PyTorch 2.10.0 are recorded (requirements.txt)" in found.summary
    assert "Not recorded: other libraries, platform or CUDA" in found.summary
    assert not found.advice


def test_says_what_is_missing_where_it_looked_and_how_to_record_it(judged) -> None:
    found = judged(judge, seen(python="3.11.7"))
    assert "the checkpoint, requirements.txt and 1 more" in found.summary
    assert found.where[0].name == "the checkpoint"
    assert "PyTorch" in found.where[0].note
    assert "torch.save" in " ".join(found.advice)


def test_a_model_without_a_checkpoint_is_judged_by_the_files_alone(judged) -> None:
    found = judged(judge, {EVIDENCE: EnvironmentEvidence((), ("requirements.txt",))})
    assert found.verdict is Verdict.WARN
    assert "(requirements.txt)" in found.summary
    assert found.where[0].name == "requirements.txt"
    assert "checkpoint" not in found.summary


def test_no_place_to_look(judged) -> None:
    found = judged(judge, {EVIDENCE: EnvironmentEvidence((), ())})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no place to look" in found.summary
