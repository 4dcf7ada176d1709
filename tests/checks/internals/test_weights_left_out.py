import pytest

from auditor.checks.internals.weights_left_out import LOADED, judge
from auditor.core.verdict import Verdict
from auditor.observations.left_out import LoadedWeights, Unfit


def seen(*unfit: Unfit, values: int = 1000) -> dict:
    return {LOADED: LoadedWeights(tensors=12, values=values, unfit=unfit)}


def test_a_checkpoint_that_fits_passes(judged) -> None:
    found = judged(judge, seen())
    assert found.verdict is Verdict.PASS
    assert "All 12 tensors" in found.summary


@pytest.mark.parametrize(
    ("values", "verdict"), [(1, Verdict.WARN), (500, Verdict.WARN), (501, Verdict.FAIL)]
)
@pytest.mark.parametrize("why", ["missing", "misshapen"])
def test_untrained_parameters_count(judged, values: int, verdict: Verdict, why: str) -> None:
    found = judged(judge, seen(Unfit("head.weight", why, True, values)))
    assert found.verdict is verdict
    assert found.where[0].name == "head.weight"
    assert "as the factory made it" in found.where[0].note
    assert "1 parameter" in found.summary
    assert found.figures
    assert "allow" in found.advice[0]


@pytest.mark.parametrize(
    ("unfit", "words"),
    [
        (Unfit("criterion.weight", "unexpected", False, 10), "does without 1 tensor"),
        (Unfit("norm.running_mean", "missing", False, 10), "1 buffer did not come"),
    ],
)
def test_what_is_no_parameter_is_told(judged, unfit: Unfit, words: str) -> None:
    found = judged(judge, seen(unfit))
    assert found.verdict is Verdict.INFO
    assert words in found.summary
    assert not found.where


def test_parameters_come_first_and_the_largest_of_them(judged) -> None:
    found = judged(
        judge,
        seen(
            Unfit("spare", "unexpected", False, 900),
            Unfit("a", "missing", True, 1),
            Unfit("b", "missing", True, 2),
        ),
    )
    assert [place.name for place in found.where] == ["b", "a", "spare"]
