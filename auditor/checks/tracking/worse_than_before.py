"""A model that does worse than the one that was last accepted.

What it does
------------
Compares the accuracy, or the error, and the loss on validation data with those of the last accepted
audit, example by example where both audits saw the same ones.

Why it matters
--------------
A newer checkpoint is not always a better one, and two numbers beside each other do not tell a loss
from chance. Paired on the same examples a difference is found that is many times smaller.

How it is measured
------------------
Examples are found again by a hash of input and target. Over those that both audits have (at least
30), the fall of the accuracy is a mean of differences with its bootstrap interval, and the examples
that were lost and won have to be unlike in number by McNemar's exact test; the rise of an error or
of the cross-entropy is a ratio of means. Where fewer than half of the examples are the same, all of
one audit are compared with all of the other, and as other data may be harder, the check warns at
most. It warns where the model is worse beyond doubt, at 99 % over all that is compared, by more
than the limits below, and tells of less. Where the checkpoint is the same file, scores have to
be the same.

When it misleads
----------------
The first 20,000 examples are kept. A difference on the data at hand need not be one on other data
of that kind. The cross-entropy may rise by confidence alone, with every answer the same.

What to do
----------
Look at the examples and classes that are named: if they have something in common, so has what
changed in data or training. Else compare the settings of the two runs, one at a time.

Source
------
McNemar 1947 (Psychometrika 12); Dietterich 1998, "Approximate Statistical Tests for Comparing
Supervised Classification Learning Algorithms"; Card et al. 2020, "With Little Power Comes Great
Responsibility" (EMNLP); Bouthillier et al. 2021, "Accounting for Variance in Machine Learning
Benchmarks" (MLSys).
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.scores import ExampleScores
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict, worst
from auditor.observations.earlier import Earlier, EarlierOf
from auditor.observations.example_scores import PERFORMANCE, Pairs, paired, scores_of
from auditor.observations.score_change import (
    FEWEST,
    Change,
    Example,
    fallen,
    of_scores,
)
from auditor.observations.score_change_figures import figures
from auditor.observations.splits import SplitsOf

ACCEPTED = EarlierOf("accepted")
SPLITS = SplitsOf()

NAMED = 10
"""Examples that are named."""

MOVED = 0.001
"""Share of the examples whose answers rounding may turn where the weights are the same."""


@check(
    title="The model is no worse than the last accepted one",
    failure_title="The model is worse than the last accepted one",
    needs=(ACCEPTED, PERFORMANCE, SPLITS),
    limits={
        "accuracy_fall": Limit(
            warn=0.0,
            fail=0.01,
            source="a hundredth is what a changed model may lose at most in MLPerf Inference, "
            "whose target is 99 % of the reference (Reddi et al. 2020)",
        ),
        "error_rise": Limit(
            warn=0.05,
            fail=0.1,
            source="share by which the error is larger: another seed alone makes some per cent "
            "(Bouthillier et al. 2021); 10 % of a squared error are 5 % of its root",
        ),
        "loss_rise": Limit(
            warn=0.1,
            source="share by which the cross-entropy is larger: another seed alone makes some per "
            "cent (Bouthillier et al. 2021)",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the change of metric and loss by how sure and how large it is."""
    then, now = seen[ACCEPTED], scores_of(seen[PERFORMANCE])
    name, before = clean_text(then.source, 120), then.scores
    if before is None or now is None:
        what = "which examples were scored is not known"
        if before is None:
            what = f"{name} kept no scores of single examples"
        return Judgement(Verdict.NOT_APPLICABLE, f"Not compared: {what}.")
    if before.metric != now.metric:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"Not compared: {name} measured {clean_text(before.metric, 40)}, this audit "
            f"{now.metric}.",
        )
    pairs = paired(before, now)
    usable = pairs if 2 * pairs.count >= min(len(before.scores), len(now.scores)) else None
    few = pairs.count if usable is not None else min(len(before.scores), len(now.scores))
    if few < FEWEST:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"Only {counted(few, 'example')} can be compared with {name}; {FEWEST} are needed.",
        )
    found = of_scores(before, now, usable, seen.rng)
    verdict = worst(_verdict(change, limits) for change in found)
    if verdict is Verdict.PASS and any(c.most < 0 or c.least > 0 for c in found):
        verdict = Verdict.INFO
    told = "; ".join(_told(change, limits) for change in found)
    said = [f"{_on(name, usable, before, now)} {told}."]
    moved = _moved(before, now, pairs, then, seen[SPLITS].checkpoint)
    if moved:
        verdict = worst((verdict, Verdict.WARN))
        said.append(moved)
    if usable is None and verdict is Verdict.FAIL:
        verdict = Verdict.WARN
    lost = fallen(before, now, pairs, NAMED) if usable is not None else []
    if usable is not None:
        said.append(_counts(before, now, pairs))
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    return Judgement(
        verdict,
        " ".join(said),
        metrics=tuple(_metric(change, limits) for change in found),
        where=tuple(_place(one, now) for one in lost) if bad else (),
        advice=_advice(usable, lost, moved) if bad else (),
        figures=figures(before, now, usable, lost),
    )


def _limit(change: Change, limits: Limits) -> Limit:
    if not change.relative:
        return limits["accuracy_fall"]
    return limits["loss_rise" if change.name == "cross-entropy" else "error_rise"]


def _verdict(change: Change, limits: Limits) -> Verdict:
    """Return the verdict on the least change that is not ruled out."""
    limit = _limit(change, limits)
    for bound, verdict in ((limit.fail, Verdict.FAIL), (limit.warn, Verdict.WARN)):
        if bound is not None and change.least > bound:
            return verdict
    return Verdict.PASS


def _on(name: str, usable: Pairs | None, before: ExampleScores, now: ExampleScores) -> str:
    if usable is None:
        return (
            f"Compared with {name}, on other examples ({len(before.scores):,} then, "
            f"{len(now.scores):,} now; too few are the same), so that the data may be what "
            "differs:"
        )
    rest = len(now.scores) - usable.count
    others = f", beside {rest:,} that it did not have" if rest else ""
    return f"Compared with {name} on the same {counted(usable.count, 'example')}{others}:"


def _told(change: Change, limits: Limits) -> str:
    """Return in words what a change is; where none is sure, what would have been seen."""
    if change.low == change.high == 0:
        return f"{change.name} is {change.after:.4g}, as before"
    sizes = f"{change.name} was {change.before:.4g} and is {change.after:.4g}"
    bounds = f"95 % interval {_amount(change, change.low)} to {_amount(change, change.high)}"
    if change.least > 0:
        verdict = _verdict(change, limits)
        ending = "" if verdict is not Verdict.PASS else ", which is less than the limit"
        return f"{sizes}, worse by {_amount(change, change.worse)} ({bounds}){ending}"
    if change.most < 0:
        bounds = f"95 % interval {_amount(change, -change.high)} to {_amount(change, -change.low)}"
        return f"{sizes}, better by {_amount(change, -change.worse)} ({bounds})"
    return (
        f"{sizes}, which may be chance; {_amount(change, change.visible)} worse would have been "
        "seen four times in five"
    )


def _amount(change: Change, value: float) -> str:
    if not np.isfinite(value):
        return "without bound"
    if not change.relative:
        return f"{100 * value:.2f} points"
    return f"{100 * value:,.0f} %" if abs(value) >= 0.1 else f"{100 * value:.2g} %"


def _counts(before: ExampleScores, now: ExampleScores, pairs: Pairs) -> str:
    sign = 1 if now.higher_is_better else -1
    gain = sign * (
        np.asarray(now.scores, float)[pairs.after] - np.asarray(before.scores, float)[pairs.before]
    )
    if not gain.any():
        return "No example has another score."
    return (
        f"{counted(int((gain < 0).sum()), 'example')} got worse, {int((gain > 0).sum()):,} better."
    )


def _moved(
    before: ExampleScores, now: ExampleScores, pairs: Pairs, then: Earlier, checkpoint: str
) -> str:
    """Return a sentence where the same weights score the same examples otherwise; else nothing."""
    if not checkpoint or checkpoint != then.checkpoint or not pairs.count:
        return ""
    one = np.asarray(before.scores, float)[pairs.before]
    other = np.asarray(now.scores, float)[pairs.after]
    other_score = ~np.isclose(one, other, rtol=0.01, atol=1e-3, equal_nan=True)
    if other_score.sum() <= max(1.0, MOVED * pairs.count):
        return ""
    return (
        f"The checkpoint is the same file, and yet {int(other_score.sum()):,} of "
        f"{pairs.count:,} examples have other scores: code, libraries or device changed what it "
        "computes."
    )


def _metric(change: Change, limits: Limits) -> Metric:
    what = "rise of the" if change.relative else "fall of the"
    known = bool(np.isfinite((change.low, change.high)).all())
    return Metric(
        f"{what} {change.name}",
        change.worse,
        "share",
        change.low if known else None,
        change.high if known else None,
        _limit(change, limits),
    )


def _place(one: Example, now: ExampleScores) -> Place:
    if now.metric == "accuracy" and {one.before, one.after} == {0.0, 1.0}:
        note = f"right before, wrong now (loss {one.loss_before:.2g}, now {one.loss_after:.2g})"
    else:
        note = f"{now.metric} {one.before:.3g} before, {one.after:.3g} now"
    return Place("example", f"val {one.number}", note)


def _advice(usable: Pairs | None, lost: list[Example], moved: str) -> tuple[str, ...]:
    steps = []
    if moved:
        steps.append(
            "Run both audits with the same code, libraries and device: what differs between them "
            "changed the answers of the same weights."
        )
    if lost:
        numbers = [one.number for one in lost]
        steps.append(
            step(
                "Look at the examples that got worst:",
                "pairs = [pair for batch in val_loader for pair in zip(*batch)]\n"
                f"for number in {numbers}:\n"
                "    inputs, target = pairs[number]\n"
                "    print(number, target, inputs.flatten()[:8])",
            )
        )
    if usable is None:
        steps.append(
            "Measure the earlier checkpoint on the present validation data: that tells what the "
            "data does from what the model does."
        )
    steps.append(
        "Keep the earlier checkpoint in use, and compare how the two were trained: settings, "
        "training data, seed. Change one at a time."
    )
    return tuple(steps)
