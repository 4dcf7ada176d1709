import pytest

from auditor.checks.tracking.environment_changed import EVIDENCE, LAST, NOW, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.earlier import Earlier
from auditor.observations.environment import Environment, EnvironmentEvidence, Evidence

TODAY = {
    "python": "3.11.7",
    "torch": "2.10.0+cpu",
    "numpy": "2.1.0",
    "device": "cpu",
    "system": "Linux",
    "matmul_precision": "highest",
    "threads": "2",
    "auditor": "0.1.0",
}


def seen(
    trained: dict[str, str] | None = None,
    last: dict[str, str] | None = None,
    now: dict[str, str] | None = None,
) -> dict:
    found = tuple(Evidence(i, v, f"checkpoint: env.{i}") for i, v in (trained or {}).items())
    earlier = Unavailable("none is named")
    if last is not None:
        earlier = Earlier("audit of Monday", "2026-01-01", Verdict.PASS, "", TODAY | last, {})
    return {
        NOW: Environment(TODAY | (now or {})),
        EVIDENCE: EnvironmentEvidence(found, ("the checkpoint",)),
        LAST: earlier,
    }


@pytest.mark.parametrize(
    ("trained", "verdict"),
    [
        ({"torch": "2.10.0"}, Verdict.PASS),
        ({"torch": "2.10.0+cu121", "python": "3.11.7"}, Verdict.PASS),
        ({"torch": "==2.10.0"}, Verdict.PASS),
        ({"torch": "2.10"}, Verdict.PASS),
        ({"torch": "2.10.*"}, Verdict.PASS),
        ({"torch": "2.10.1"}, Verdict.INFO),
        ({"torch": "2.10.0a0+git1234"}, Verdict.INFO),
        ({"torch": "2.9.0"}, Verdict.WARN),
        ({"torch": "1.13.1"}, Verdict.WARN),
        ({"torch": "2.11.0"}, Verdict.WARN),
        ({"torch": "2.10.0", "python": "3.9.1"}, Verdict.INFO),
        ({"torch": "2.10.0", "python": "2.7.18"}, Verdict.WARN),
        ({"torch": "2.10.0", "numpy": "1.26.4"}, Verdict.INFO),
        ({"torch": "2.10.0", "device": "cuda:0"}, Verdict.INFO),
        ({"torch": "2.10.0", "device": "cpu"}, Verdict.PASS),
        ({"torch": "2.10.0", "cuda": "12.1"}, Verdict.INFO),
        ({"torch": "2.10.0", "cuda": "True"}, Verdict.PASS),
        ({"torch": "2.10.0", "matmul_precision": "high"}, Verdict.INFO),
        ({"torch": "2.10.0", "threads": "16"}, Verdict.PASS),
        ({"torch": "2.10.0", "platform": "Linux-6.1-x86_64"}, Verdict.PASS),
        ({"torch": "2.10.0", "platform": "Windows-10-10.0"}, Verdict.INFO),
        ({"numpy": "2.1.0"}, Verdict.INFO),
        ({"torch": ">=2.0"}, Verdict.NOT_APPLICABLE),
        ({"host": "node7"}, Verdict.NOT_APPLICABLE),
        ({}, Verdict.NOT_APPLICABLE),
    ],
)
def test_the_training(judged, trained: dict[str, str], verdict: Verdict) -> None:
    found = judged(judge, seen(trained))
    assert found.verdict is verdict, found.summary


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"torch": "2.10.0+cu121"}, Verdict.PASS),
        ({"torch": "2.8.0"}, Verdict.WARN),
        ({"threads": "16"}, Verdict.INFO),
        ({"auditor": "0.0.9"}, Verdict.INFO),
        ({"device": "cuda"}, Verdict.INFO),
    ],
)
def test_the_last_audit(judged, last: dict[str, str], verdict: Verdict) -> None:
    found = judged(judge, seen(last=last))
    assert found.verdict is verdict, found.summary


def test_an_item_that_one_of_the_two_does_not_have_is_not_compared(judged) -> None:
    found = judged(judge, seen(last={"tf32_cudnn": "yes", "driver": "535.1"}))
    assert found.verdict is Verdict.PASS


def test_says_what_differs_since_when_and_what_is_known_to_have_changed(judged) -> None:
    found = judged(judge, seen({"torch": "2.5.1", "numpy": "1.26.0"}, {"torch": "2.9.0"}))
    assert found.verdict is Verdict.WARN
    assert "2.5.1 for the training (checkpoint: env.torch)" in found.summary
    assert "2.9.0 at the last audit (audit of Monday)" in found.summary
    assert "since PyTorch 2.6 `torch.load`" in found.summary
    assert "since PyTorch 2.0 attention" not in found.summary
    assert "NumPy (1.26.0 in training, 2.1.0 now)" in found.summary
    assert [place.name for place in found.where] == ["torch", "torch", "numpy"]
    assert 'pip install "torch==2.5.1"' in found.advice[0]
    (table,) = found.figures
    assert table.columns == ("item", "trained with", "last audit", "now")
    assert table.rows[0] == ("PyTorch", "2.5.1", "2.9.0", "2.10.0+cpu")


def test_known_changes_count_in_either_direction(judged) -> None:
    older = judged(judge, seen({"torchvision": "0.20.0"}, now={"torchvision": "0.16.2"}))
    assert "antialiasing" in older.summary


def test_hostile_values_are_only_shown(judged) -> None:
    found = judged(judge, seen({"torch": '2.9"; rm -rf /', "device": "cuda\x1b[31m" + "x" * 999}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    found = judged(judge, seen({"torch": "2.9.0+\x1b[31m" + "y" * 999}))
    assert found.verdict is Verdict.WARN
    assert "\x1b" not in found.summary
    assert 'torch==2.9.0"' in found.advice[0]


def test_pass_names_what_is_the_same(judged) -> None:
    found = judged(judge, seen({"torch": "2.10.0", "python": "3.11.7"}, {}))
    assert "PyTorch 2.10.0, Python 3.11.7 among it" in found.summary
    assert not found.advice
