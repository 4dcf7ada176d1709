import math

import numpy as np
import pytest

from auditor.checks.parameters.dropout_before_batch_norm import SEQUENCE, TRIAL, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.batch_norm import BatchNormLayer
from auditor.observations.norm_layers import DropoutBefore, NormSequence, RanNorm
from auditor.observations.norm_trial import NormTrial


def order(*pairs: tuple[str, str], dropouts: tuple[str, ...] = ("drop",)) -> NormSequence:
    norms = tuple(RanNorm(name, 1, 512, "") for name in ("a", "b"))
    made = tuple(DropoutBefore(drop, norm, 0.5) for drop, norm in pairs)
    return NormSequence(norms, dropouts, made, 32)


def trial(
    shifts: tuple[float, float] = (2.0, 1.5),
    accuracy: tuple[float, float] = (0.9, 0.9),
    entropy: tuple[float, float] = (1.0, 1.0),
    noise: float = 0.01,
    measure: str = "accuracy",
    rows: int = 400,
) -> NormTrial:
    """Return a trial with these scores before and after dropout is left out of the statistics."""
    given = tuple(
        BatchNormLayer(name, 1e-5, np.zeros(4), np.ones(4), 99, np.zeros(4), np.ones(4) * 99)
        for name in ("a", "b")
    )
    place = np.arange(rows) / max(rows, 1)
    jitter = np.exp(noise * np.random.default_rng(0).standard_normal((20, 1)))
    if measure == "accuracy":
        before, after = (np.asarray(place < share, float) for share in accuracy)
    else:
        before, after = (share * (0.5 + place) for share in accuracy)
    surprise = [share * (0.5 + place) for share in entropy] if measure == "accuracy" else []
    arms = [before, before, after, after]
    return NormTrial(
        measure,
        measure == "accuracy",
        np.asarray(arms),
        np.stack([surprise[n] for n in (0, 0, 1, 1)]) if surprise else np.zeros((4, 0)),
        given,
        np.asarray(shifts) * jitter,
        True,
        640,
        32,
        "train",
    )


PAIRS = order(("d1", "a"), ("d2", "b"), dropouts=("d1", "d2"))


@pytest.mark.parametrize(
    ("shifts", "accuracy", "entropy", "verdict"),
    [
        ((2.0, 1.5), (0.90, 0.97), (1.0, 1.0), Verdict.WARN),
        ((2.0, 1.5), (0.70, 0.95), (1.0, 0.5), Verdict.FAIL),
        ((2.0, 1.5), (0.97, 0.97), (1.0, 0.8), Verdict.WARN),
        ((2.0, 1.5), (0.97, 0.97), (1.0, 0.2), Verdict.WARN),
        ((2.0, 1.5), (0.97, 0.97), (1.0, 0.95), Verdict.INFO),
        ((2.0, 1.5), (0.97, 0.90), (1.0, 1.4), Verdict.INFO),
        ((0.6, 0.7), (0.90, 0.97), (1.0, 1.0), Verdict.WARN),
        ((1.04, 0.98), (0.70, 0.95), (1.0, 0.5), Verdict.INFO),
    ],
)
def test_the_shift_is_judged_by_what_it_costs(
    judged,
    shifts: tuple[float, float],
    accuracy: tuple[float, float],
    entropy: tuple[float, float],
    verdict: Verdict,
) -> None:
    found = judged(judge, {SEQUENCE: PAIRS, TRIAL: trial(shifts, accuracy, entropy)})
    assert found.verdict is verdict, found.summary


def test_pairs_stand_worst_first_with_their_numbers(judged) -> None:
    found = judged(judge, {SEQUENCE: PAIRS, TRIAL: trial((1.2, 2.5), (0.8, 0.95))})
    assert [place.name for place in found.where] == ["b", "a"]
    assert found.where[0].note.startswith("behind d2 (p = 0.5): variance 2.5")
    assert "`d2` (p = 0.5) before `b`" in found.summary
    assert "`d2`" in found.advice[1]
    scores = {m.name: m.value for m in found.metrics}
    assert scores["score as it is"] == pytest.approx(0.8)
    assert scores["score with statistics without dropout"] == pytest.approx(0.95)
    shift = found.metrics[0]
    assert shift.low < shift.value < shift.high
    assert found.figures[0].marked == (True, True)
    assert found.figures[1].rows[0][0] == "d2"
    assert found.figures[1].rows[0][3] == 2.0


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.95, Verdict.INFO), (0.8, Verdict.WARN), (0.3, Verdict.FAIL)]
)
def test_errors_are_judged_by_their_share(judged, after: float, verdict: Verdict) -> None:
    made = trial(accuracy=(1.0, after), measure="squared error")
    assert judged(judge, {SEQUENCE: PAIRS, TRIAL: made}).verdict is verdict


def test_few_examples_settle_nothing_and_that_is_said(judged) -> None:
    found = judged(judge, {SEQUENCE: PAIRS, TRIAL: trial(accuracy=(0.5, 0.7), rows=10)})
    assert found.verdict is Verdict.INFO
    assert "four times as many" in found.summary


def test_without_a_score_nothing_is_held_against_it(judged) -> None:
    found = judged(judge, {SEQUENCE: PAIRS, TRIAL: trial(rows=0)})
    assert found.verdict is Verdict.INFO
    assert "Without a loss and a metric" in found.summary


def test_an_unsure_shift_is_no_shift(judged) -> None:
    found = judged(judge, {SEQUENCE: PAIRS, TRIAL: trial((1.2, 1.2), (0.7, 0.95), noise=2.0)})
    assert found.verdict is Verdict.INFO


def test_dropout_behind_all_norms_passes(judged) -> None:
    assert judged(judge, {SEQUENCE: order(), TRIAL: trial()}).verdict is Verdict.PASS


def test_reasons_not_to_judge(judged) -> None:
    nothing = NormSequence((), (), (), 32)
    assert judged(judge, {SEQUENCE: nothing}).verdict is Verdict.NOT_APPLICABLE
    still = judged(judge, {SEQUENCE: order(dropouts=())})
    assert still.verdict is Verdict.NOT_APPLICABLE
    assert "Nothing drops" in still.summary
    untold = judged(judge, {SEQUENCE: PAIRS, TRIAL: Unavailable("there is no data")})
    assert untold.verdict is Verdict.INFO
    assert "there is no data" in untold.summary


def test_a_mask_of_the_user_s_own_has_no_known_share(judged) -> None:
    own = NormSequence(
        (RanNorm("a", 1, 512, ""),), ("m.rand()",), (DropoutBefore("m.rand()", "a", math.nan),), 32
    )
    found = judged(judge, {SEQUENCE: own, TRIAL: trial(accuracy=(0.8, 0.88))})
    assert found.verdict is Verdict.WARN
    assert "`m.rand()` before `a`" in found.summary
    assert found.figures[1].rows[0][1] is None
    assert found.figures[1].rows[0][3] is None
