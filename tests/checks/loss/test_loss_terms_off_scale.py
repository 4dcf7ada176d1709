from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks import find
from auditor.core.verdict import Verdict
from auditor.observations.loss_terms import LossTerms, LossTermsOver, TermsAt
from auditor.observations.term_trials import TermTrial, TermTrials, TermTrialsOver
from tests.checks.conftest import Judged

CHECK = find("loss-terms-off-scale")
TERMS = LossTermsOver()
TRIALS = TermTrialsOver()


def at(
    sizes: tuple[float, ...] = (1.0, 0.5),
    cosine: float = 0.3,
    *,
    batches: int = 8,
    noise: float = 0.1,
    shared: int = 4,
    seed: int = 0,
) -> TermsAt:
    """Return terms of given gradient norms, any two of them at one cosine."""
    rng = np.random.default_rng(seed)
    count = len(sizes)
    norms = np.array(sizes) * np.exp(noise * rng.normal(size=(batches, count)))
    cosines = np.full((count, count), cosine)
    np.fill_diagonal(cosines, 1.0)
    return TermsAt(
        values=1 + 0.1 * rng.normal(size=(batches, count)),
        products=norms[:, :, None] * norms[:, None, :] * cosines,
        norms=norms,
        own=(4,) * count,
        shared=shared,
    )


def seen(checkpoint: TermsAt, fresh: TermsAt | None = None, **changes: Any) -> dict[Any, Any]:
    names = ("fit", "prior", "third")[: checkpoint.norms.shape[1]]
    return {TERMS: replace(LossTerms(names, 0, checkpoint, fresh, "train"), **changes)}


@pytest.mark.parametrize(
    ("checkpoint", "fresh", "verdict", "words"),
    [
        (at(), at(), Verdict.PASS, "`fit` pulls hardest"),
        (at(), None, Verdict.PASS, "2 terms over 8 batches"),
        (at((1.0, 0.02)), at((1.0, 0.02)), Verdict.PASS, "not beyond doubt"),
        (at((1.0, 0.001)), at((1.0, 0.001)), Verdict.WARN, "`prior` has no say"),
        (at((0.001, 1.0)), at((0.001, 1.0)), Verdict.WARN, "`fit` has no say"),
        (at((1.0, 0.001)), None, Verdict.WARN, "`prior` has no say"),
        (at((1.0, 0.001)), at((1.0, 0.1)), Verdict.PASS, "not beyond doubt"),
        (at((1.0, 0.001)), at((0.001, 1.0)), Verdict.PASS, "not beyond doubt"),
        (at((1.0, 0.005), noise=1.0), None, Verdict.PASS, "batches would settle that"),
        (at((1.0, 0.001), shared=0), None, Verdict.WARN, "no say"),
        (at(cosine=-0.9), at(cosine=-0.9), Verdict.WARN, "against each other"),
        (at(cosine=-0.9), at(cosine=0.2), Verdict.PASS, "no two terms"),
        (at(cosine=-0.9), None, Verdict.PASS, "pulls hardest"),
        (at(cosine=-0.4), at(cosine=-0.4), Verdict.PASS, "no two terms"),
        (at((1.0, 0.0)), at((1.0, 0.0)), Verdict.FAIL, "`prior` has no gradient"),
        (at((1.0, 0.0)), None, Verdict.FAIL, "it is constant"),
        (at((1.0, 0.0)), at((1.0, 0.5)), Verdict.PASS, "can't be set against"),
        (at(batches=2), at(batches=2), Verdict.INFO, "3 are needed"),
        (at(batches=0), None, Verdict.NOT_APPLICABLE, "No batch"),
    ],
)
def test_verdicts(
    judged: Judged, checkpoint: TermsAt, fresh: TermsAt | None, verdict: Verdict, words: str
) -> None:
    judgement = judged(CHECK, seen(checkpoint, fresh))
    assert judgement.verdict is verdict, judgement.summary
    assert words in judgement.summary
    assert (judgement.where != ()) == (verdict in (Verdict.WARN, Verdict.FAIL))


def test_the_weight_that_evens_out_is_given(judged: Judged) -> None:
    judgement = judged(CHECK, seen(at((1.0, 0.001), noise=0.0)))
    assert "Multiply `prior` by about 1,000, or `fit` by 0.001" in judgement.advice[0]
    assert judgement.where[0].name == "loss.prior"


def test_a_small_term_is_told_once(judged: Judged) -> None:
    judgement = judged(CHECK, seen(at((1.0, 0.5, 0.001))))
    assert [place.name for place in judgement.where] == ["loss.third"]
    assert [figure.kind for figure in judgement.figures] == ["table", "lines", "lines", "heatmap"]


def test_a_penalty_on_the_weights_may_be_small(judged: Judged) -> None:
    terms = at((1.0, 1e-4))
    terms.values[:, 1] = 0.37
    assert judged(CHECK, seen(terms, at((1.0, 1e-4)))).verdict is Verdict.PASS
    # but not one that outweighs all else.
    heavy = at((1.0, 1e4))
    heavy.values[:, 1] = 0.37
    assert judged(CHECK, seen(heavy)).verdict is Verdict.WARN


def test_terms_that_are_not_finite(judged: Judged) -> None:
    terms = at()
    terms.values[2:4, 1] = np.nan
    judgement = judged(CHECK, seen(terms))
    assert judgement.verdict is Verdict.FAIL
    assert "`prior` on 2 of 8 batches" in judgement.summary
    slope = at()
    slope.norms[2, 0] = np.nan
    found = judged(CHECK, seen(at(), slope))
    assert found.verdict is Verdict.FAIL
    assert "the gradient of `fit` on 1 of 8 batches of a fresh model" in found.summary
    assert found.where[0].name == "loss.fit"
    lost = at()
    lost.values[:] = np.nan
    lost.norms[:] = np.nan
    lost.products[:] = np.nan
    assert judged(CHECK, seen(lost)).verdict is Verdict.FAIL


def test_a_term_that_reaches_no_weight_is_told_so(judged: Judged) -> None:
    cut = replace(at((1.0, 0.0)), own=(4, 0))
    assert "nothing connects it" in judged(CHECK, seen(cut)).summary
    assert "3 more" in judged(CHECK, seen(at(), left_out=3)).summary


def test_every_batch_is_shown(judged: Judged) -> None:
    checkpoint = at()
    judgement = judged(CHECK, seen(checkpoint))
    for figure, table in zip(
        judgement.figures[1:3], (checkpoint.values, checkpoint.norms), strict=True
    ):
        assert [line.name for line in figure.series] == ["fit", "prior"]
        for line, column in zip(figure.series, table.T, strict=True):
            assert line.x == (1, 2, 3, 4, 5, 6, 7, 8)
            assert line.y == tuple(column)
    value = next(m for m in judgement.metrics if m.name == "value of prior")
    assert value.low < value.value < value.high


@pytest.mark.parametrize(
    ("whole", "verdict"),
    [
        (0.95, Verdict.FAIL),
        (0.87, Verdict.WARN),
        (0.8, Verdict.PASS),
        (0.5, Verdict.PASS),
    ],
)
def test_a_term_that_keeps_the_others_from_being_learnt(
    judged: Judged, whole: float, verdict: Verdict
) -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=(3, 8))
    rows = (1 + noise[0], whole + noise[1], 0.1 + noise[2])
    trials = TermTrials((TermTrial("prior", *rows),), 80)
    judgement = judged(CHECK, {**seen(at(), at()), TRIALS: trials})
    assert judgement.verdict is verdict, judgement.summary
    assert ("`prior` drowns" in judgement.summary) is (verdict is not Verdict.PASS)
    if verdict is not Verdict.PASS:
        assert [place.name for place in judgement.where] == ["loss.prior"]
