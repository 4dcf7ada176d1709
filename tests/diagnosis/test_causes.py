"""Causes: which findings share one, which comes first, and what is said of each."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.request import Failed, Unavailable
from auditor.core.verdict import Verdict
from auditor.diagnosis import diagnosed, trials
from auditor.diagnosis.causes import TOGETHER
from auditor.diagnosis.rules import RULES
from auditor.observations.treatment import TreatmentOver, Tried

RESCALED = TreatmentOver(rescaled=True)
REVIVED = TreatmentOver(start="checkpoint", anew="a.bias")


def finding(check: str, verdict: Verdict = Verdict.FAIL, *where: Place) -> Finding:
    return Finding(check, verdict, f"{check} found", "", where=where, advice=("do something",))


INPUTS = finding("inputs-not-normalised", Verdict.WARN, Place("setting", "input: channel 0"))
DEAD = finding(
    "dead-units", Verdict.FAIL, Place("layer", "a"), Place("parameter", "a.bias", "holds 3 units")
)
UNLEARNT = finding("no-better-than-baseline")
FADING = finding("vanishing-gradients")
SATURATED = finding("saturated-units", Verdict.WARN, Place("layer", "first"))
OFF_CHANCE = finding("initial-loss-off-chance", Verdict.WARN, Place("setting", "loss"))
UNRECORDED = finding("environment-unrecorded", Verdict.WARN)


def tried(score: float, runs: int = 3, examples: int = 60) -> Tried:
    draw = np.random.default_rng(0).random((runs, examples))
    return Tried("accuracy", True, "of copies after 60 steps", draw < score)


def effect(treatment: TreatmentOver, before: float, after: float):
    return {treatment.controls[0]: tried(before), treatment: tried(after)}


def test_a_cause_takes_along_what_it_explains() -> None:
    (cause,) = diagnosed((UNLEARNT, DEAD, FADING, UNRECORDED), {}, 0)
    assert cause.id == "dead-units"
    assert cause.title == "Units of `a` are dead"
    assert cause.findings == ("dead-units", "no-better-than-baseline", "vanishing-gradients")
    assert cause.remedies[-1].text == "do something"
    assert not any(remedy.tried or remedy.helped for remedy in cause.remedies)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v not in (Verdict.WARN, Verdict.FAIL)])
def test_what_does_not_warn_or_fail_is_no_cause(verdict: Verdict) -> None:
    quiet = [replace(one, verdict=verdict) for one in (DEAD, INPUTS)]
    assert diagnosed(quiet, {}, 0) == ()
    assert trials(quiet, {}, 0) == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_applies_to_the_finding_in_which_its_cause_is_seen(rule) -> None:
    """A finding made by hand from each of its sights brings the rule up, and nothing else does."""
    for sight in rule.sights:
        words = sight.words[0] if sight.words else ""
        paces = {"above": 0.5, "below": 1e-7}
        metrics = tuple(
            Metric(f"update ratio from {side}", pace, limit=Limit(warn=1e-3, bad=side))
            for side, pace in paces.items()
        )
        given = replace(
            finding(sight.check, Verdict.FAIL, Place("setting", "here", words)), metrics=metrics
        )
        if sight.check == "update-ratio-off":
            given = replace(given, metrics=metrics[:1] if "high" in rule.id else metrics[1:])
        if sight.check == "underfitted" and "rate" in rule.id:
            slow = Place("setting", "training.optimizer", "learning rate 2e-05, weight decay 0")
            given = replace(given, where=(slow,))
        if sight.check == "optimizer-off" and "rate" in rule.id:
            note = "1, advised: 0.001" if "high" in rule.id else "1e-05, advised: 0.1 to begin with"
            given = replace(given, where=(Place("setting", "training.optimizer.lr", note),))
        causes = diagnosed((given,), {}, 0)
        assert rule.id in {cause.id for cause in causes}
        assert causes[0].findings == (sight.check,)
        assert "{" not in causes[0].title
        unplaced = replace(given, where=())
        for cause in diagnosed((unplaced,), {}, 0):
            assert "{" not in cause.title
            assert "()" not in cause.title
            assert "``" not in cause.title


def test_the_very_setting_comes_before_a_rate_that_may_have_brought_it_about() -> None:
    slow = finding("learning-rate-off", Verdict.FAIL, Place("setting", "lr", "1 is too low"))
    eps = Place("setting", "training.optimizer.eps", "1, advised: 1e-8")
    kind = Place("setting", "training.optimizer", "SGD, advised: AdamW at 0.02")
    causes = diagnosed((slow, finding("optimizer-off", Verdict.FAIL, eps)), {}, 0)
    assert [cause.id for cause in causes] == ["optimizer-off"]
    causes = diagnosed((slow, finding("optimizer-off", Verdict.FAIL, kind)), {}, 0)
    assert [cause.id for cause in causes] == ["learning-rate-too-low"]


def test_gradients_never_zeroed_come_before_all_that_comes_of_them() -> None:
    sums = Place("setting", "training.zero_grad", "gradients never zeroed: 10 times as long")
    fast = finding("learning-rate-off", Verdict.FAIL, Place("setting", "lr", "1 is too high"))
    causes = diagnosed((fast, finding("optimizer-off", Verdict.FAIL, sums), UNLEARNT), {}, 0)
    assert [cause.id for cause in causes] == ["gradients-not-zeroed"]


def test_too_many_layers_come_before_what_comes_of_them_and_behind_how_they_start() -> None:
    deep = finding(
        "vanishing-gradients", Verdict.FAIL,
        Place("layer", "a", "3e+08 times below the last, over 24 layers"),
    )  # fmt: skip
    scale, start = finding("activation-scale-off"), finding("initialisation-off")
    causes = diagnosed((scale, deep, UNLEARNT), {}, 0)
    assert [cause.id for cause in causes] == ["too-deep"]
    assert causes[0].title.endswith(
        "at `a` the gradient is 3e+08 times below the last, over 24 layers"
    )
    assert diagnosed((scale, deep, start, UNLEARNT), {}, 0)[0].id == "initialisation-off"
    assert "too-deep" not in [c.id for c in diagnosed((scale, FADING, UNLEARNT), {}, 0)]
    assert TreatmentOver(shortcuts=True) in trials((deep, UNLEARNT), {}, 0)


def test_wrong_gradients_come_before_the_values_that_they_left() -> None:
    lost, wrong = finding("non-finite-values"), finding("wrong-gradients")
    assert [c.id for c in diagnosed((lost, wrong, UNLEARNT), {}, 0)] == ["wrong-gradients"]
    assert [c.id for c in diagnosed((lost, UNLEARNT), {}, 0)] == ["non-finite-values"]


def test_what_is_waived_is_no_cause() -> None:
    assert diagnosed((replace(DEAD, waived="pruned"),), {}, 0) == ()


def test_a_class_neglected_though_it_is_common_is_no_imbalance() -> None:
    common = Place("setting", "class 1", "recall 0.0% of 57; 143 in training")
    rare = Place("setting", "class 1", "recall 0.0% of 57; 9 in training, a rare class")
    assert diagnosed((finding("class-imbalance", Verdict.FAIL, common),), {}, 0) == ()
    (cause,) = diagnosed((finding("class-imbalance", Verdict.FAIL, rare),), {}, 0)
    assert cause.id == "class-imbalance"


@pytest.mark.parametrize(
    ("check", "note", "cause"),
    [
        ("updates-not-applied", "as built; the optimizer goes farther", "updates-not-applied"),
        ("class-imbalance", "recall 0.0%; 3 in training, too few to learn", "class-imbalance"),
    ],
)
def test_what_training_never_had_comes_of_no_setting(check: str, note: str, cause: str) -> None:
    seen = finding(check, Verdict.FAIL, Place("setting", "here", note))
    slow = finding("learning-rate-off", Verdict.FAIL, Place("setting", "lr", "1 is too low"))
    assert diagnosed((slow, seen, UNLEARNT), {}, 0)[0].id == cause


def test_a_wrong_checkpoint_comes_behind_a_setting_that_the_optimizer_shows() -> None:
    wrong = Place("file", "model.checkpoint", "worse than a constant answer")
    summed = Place("setting", "training.zero_grad", "gradients never zeroed")
    findings = (
        finding("damaged-layer", Verdict.WARN, wrong),
        finding("optimizer-off", Verdict.WARN, summed),
        UNLEARNT,
    )
    assert diagnosed(findings, {}, 0)[0].id == "gradients-not-zeroed"
    assert diagnosed((findings[0], UNLEARNT), {}, 0)[0].id == "wrong-checkpoint"


def test_a_mere_warning_of_dead_units_explains_nothing() -> None:
    assert diagnosed((replace(DEAD, verdict=Verdict.WARN), FADING), {}, 0)[0].id != "dead-units"


def test_what_failed_and_explains_most_comes_first_and_a_finding_has_one_cause() -> None:
    causes = diagnosed((INPUTS, DEAD, FADING, UNLEARNT), {}, 0)
    assert [cause.id for cause in causes] == ["dead-units", "inputs-not-normalised"]
    claimed = [check for cause in causes for check in cause.findings]
    assert len(claimed) == len(set(claimed))
    assert [cause.confidence for cause in causes] == ["seen directly", "likely"]


def test_a_cause_that_a_trial_confirms_comes_first_and_takes_other_causes_along() -> None:
    answers = effect(RESCALED, 0.2, 0.9)
    (cause,) = diagnosed((INPUTS, DEAD, FADING), answers, 0)
    assert cause.id == "inputs-not-normalised"
    assert cause.confidence == "confirmed by a trial"
    assert "dead-units" in cause.findings
    first = cause.remedies[0]
    assert (first.tried, first.helped) == (True, True)
    assert first.measure == "accuracy of copies after 60 steps"
    assert (first.before, first.after) == (tried(0.2).scores.mean(), tried(0.9).scores.mean())


def test_a_cause_confirmed_by_its_own_trial_stays_though_an_earlier_one_explains_it() -> None:
    answers = effect(RESCALED, 0.2, 0.9) | effect(REVIVED, 0.2, 0.8)
    causes = diagnosed((DEAD, INPUTS, FADING), answers, 0)
    assert [cause.id for cause in causes] == ["inputs-not-normalised", "dead-units"]
    assert causes[1].confidence == "seen directly, confirmed by a trial"


def test_a_trial_without_effect_lowers_confidence_and_comes_after_what_was_not_tried() -> None:
    causes = diagnosed((INPUTS, UNLEARNT, FADING, DEAD), effect(RESCALED, 0.5, 0.5), 0)
    assert [cause.id for cause in causes] == ["dead-units", "inputs-not-normalised"]
    assert causes[1].confidence.startswith("in doubt")
    advice, vain, alike = causes[1].remedies
    assert advice.text == "do something"
    assert (vain.tried, vain.helped) == (True, False)
    assert vain.before == vain.after
    assert alike.text.startswith("Equally good")
    assert not any(r.helped for cause in causes for r in cause.remedies)


def test_a_fact_whose_remedy_is_in_vain_stays_a_fact_and_no_remedy_is_called_proven() -> None:
    (cause,) = diagnosed((DEAD, FADING), effect(REVIVED, 0.5, 0.4), 0)
    assert cause.confidence == "seen directly"
    assert not any(remedy.helped for remedy in cause.remedies)


def test_a_rate_that_held_back_is_tried_from_the_checkpoint_at_the_one_that_gained() -> None:
    note = "learning rate 0.001, held back: 0.03 gains"
    slow = finding("underfitted", Verdict.WARN, Place("setting", "training.optimizer.lr", note))
    higher = TreatmentOver(start="checkpoint", rate=0.03)
    assert higher in trials((slow, UNLEARNT), {}, 0)
    (cause,) = diagnosed((slow, UNLEARNT), effect(higher, 0.5, 0.9), 0)
    assert (cause.id, cause.confidence) == ("learning-rate-too-low", "confirmed by a trial")
    short = replace(slow, where=(Place("setting", "training.epochs", "10 epochs"),))
    assert diagnosed((short, UNLEARNT), {}, 0)[0].id == "stopped-too-early"


def test_dropout_that_a_trial_confirms_comes_before_the_units_that_it_killed() -> None:
    off = finding("dropout-off", Verdict.WARN, Place("layer", "drop", "Dropout of rate 0.9"))
    without = TreatmentOver(no_dropout=True)
    confirmed, *others = diagnosed((DEAD, off, UNLEARNT), effect(without, 0.2, 0.9), 0)
    assert (confirmed.id, confirmed.confidence) == ("dropout-off", "confirmed by a trial")
    assert "dead-units" in confirmed.findings
    assert others == []
    vain = diagnosed((DEAD, off, UNLEARNT), effect(without, 0.5, 0.5), 0)
    assert vain[0].id == "dead-units"


def test_dead_units_that_biases_at_zero_wake_come_before_what_training_on_mends() -> None:
    held = Place("parameter", "a.bias", "holds 3 units at zero")
    dead = finding("dead-units", Verdict.WARN, DEAD.where[0], held)
    short = finding("underfitted", Verdict.WARN, Place("setting", "training.epochs", "10 epochs"))
    answers = effect(TreatmentOver(start="checkpoint"), 0.6, 0.9) | effect(REVIVED, 0.9, 0.9)
    assert diagnosed((dead, short), answers, 0)[0].id == "stopped-too-early"
    lifted = replace(REVIVED, steps=0, seeds=1)
    assert lifted in trials((dead, short), answers, 0)
    helped = {lifted.controls[0]: tried(0.6, 1), lifted: tried(0.9, 1)}
    first, *_ = diagnosed((dead, short), answers | helped, 0)
    assert (first.id, first.confidence) == ("dead-units", "confirmed by a trial")
    assert first.remedies[0].text == "Set `a.bias` to zero in the trained model."
    vain = {lifted.controls[0]: tried(0.6, 1), lifted: tried(0.5, 1)}
    assert diagnosed((dead, short), answers | vain, 0)[0].id == "stopped-too-early"


@pytest.mark.parametrize("why", [Failed("it took longer than 5 s"), Unavailable("no factory")])
def test_why_a_remedy_could_not_be_tried_is_said(why) -> None:
    answers = {RESCALED.controls[0]: why, RESCALED: why}
    (cause,) = diagnosed((INPUTS,), answers, 0)
    first = cause.remedies[0]
    assert not first.tried
    assert first.measure == f"could not be tried: {why.reason}"
    assert cause.confidence == "possible"


def test_inputs_are_suspected_from_signs_where_their_check_could_not_tell() -> None:
    signs = (SATURATED, OFF_CHANCE, FADING)
    lost = finding("inputs-not-normalised", Verdict.NOT_APPLICABLE)
    for given in (signs, (*signs, lost)):
        outcomes = {
            "likely": {},
            "confirmed by a trial": effect(RESCALED, 0.2, 0.9),
        }
        for confidence, answers in outcomes.items():
            (cause,) = diagnosed(given, answers, 0)
            assert (cause.id, cause.confidence) == ("inputs-not-normalised", confidence)
            assert cause.title == "Inputs are not on the scale that the model wants"
            assert set(cause.findings) == {one.check for one in signs}
        doubted = diagnosed(given, effect(RESCALED, 0.5, 0.5), 0)
        assert doubted[0].id != "inputs-not-normalised"
        assert RESCALED in trials(given, {}, 0)
    for missing in range(3):
        fewer = [one for place, one in enumerate(signs) if place != missing]
        assert RESCALED not in trials(fewer, {}, 0)


def test_inputs_that_their_check_found_sound_are_not_suspected() -> None:
    passed = finding("inputs-not-normalised", Verdict.PASS)
    assert RESCALED not in trials((SATURATED, OFF_CHANCE, FADING, passed), {}, 0)


def test_advice_that_says_the_same_as_a_remedy_stands_in_its_place() -> None:
    advice = ("Look at it.", "Standardise the input: subtract 4.88 and divide by 6.01.")
    (cause,) = diagnosed((replace(INPUTS, advice=advice),), effect(RESCALED, 0.2, 0.9), 0)
    assert cause.remedies[0].text == advice[1]
    assert [remedy.text for remedy in cause.remedies].count(advice[1]) == 1
    assert any("batch norm" in remedy.text for remedy in cause.remedies)


def test_all_remedies_together_stand_with_the_first_cause() -> None:
    whole = RESCALED.together(REVIVED)
    first, *others = diagnosed((INPUTS, DEAD), effect(whole, 0.1, 0.9), 0)
    (both,) = [remedy for remedy in first.remedies if remedy.text == TOGETHER]
    assert both.helped
    assert all(r.text != TOGETHER for cause in others for r in cause.remedies)


def test_a_remedy_that_helps_only_beside_the_others_is_told_as_that() -> None:
    whole = RESCALED.together(REVIVED)
    rest = replace(REVIVED, start="fresh")
    answers = effect(RESCALED, 0.1, 0.1) | effect(REVIVED, 0.1, 0.6)
    answers |= {rest: tried(0.4), whole: tried(0.9)}
    causes = {cause.id: cause for cause in diagnosed((INPUTS, DEAD), answers, 0)}
    inputs = causes["inputs-not-normalised"]
    assert inputs.confidence == "confirmed by a trial with the other causes treated"
    beside, alone = inputs.remedies[:2]
    assert beside.helped
    assert "the other causes treated" in beside.measure
    assert not alone.helped
    assert (alone.before, alone.after) == (tried(0.1).scores.mean(),) * 2


def loss_finding(low: float, high: float) -> Finding:
    return replace(
        finding("loss-unfit-for-task", Verdict.FAIL, Place("setting", "loss", "softmax twice")),
        metrics=(
            Metric("accuracy as it is, copy", 0.2),
            Metric("accuracy cured, copy", 0.8),
            Metric("change in accuracy by the cure", 0.6, low=low, high=high),
        ),
    )


@pytest.mark.parametrize(("low", "expected"), [(0.1, True), (-0.1, False)])
def test_what_a_check_has_tried_itself_is_told_and_helped_where_intervals_lie_apart(
    low: float, expected: bool
) -> None:
    loss = loss_finding(low, 0.9)
    assert trials((loss,), {}, 0) == ()
    (cause,) = diagnosed((loss,), {}, 0)
    (remedy,) = [one for one in cause.remedies if one.tried]
    assert (remedy.before, remedy.after, remedy.helped) == (0.2, 0.8, expected)
    assert ("confirmed" in cause.confidence) is expected


def test_a_setting_that_a_rule_blames_is_put_right_in_a_trial() -> None:
    note = "0.999, advised: 0.9, with the rate raised to keep lr / (1 - momentum)"
    swings = finding(
        "optimizer-off", Verdict.WARN, Place("setting", "training.optimizer.momentum", note)
    )
    cure = TreatmentOver(setting="momentum=0.9")
    assert cure in trials((swings, DEAD), {}, 0)
    first, *_ = diagnosed((swings, DEAD, UNLEARNT), effect(cure, 0.3, 0.9), 0)
    assert first.id == "optimizer-off"
    assert "dead-units" in first.findings
    swapped = "(0.999, 0.9), advised: (0.9, 0.999)"
    betas = finding(
        "optimizer-off", Verdict.WARN, Place("setting", "training.optimizer.betas", swapped)
    )
    assert TreatmentOver(setting="betas=(0.9, 0.999)") in trials((betas,), {}, 0)


def test_a_batch_too_small_from_the_start_does_not_come_of_dead_units() -> None:
    early = "2; the noise scale of fresh weights is 59 examples"
    small = finding("batch-size-off", Verdict.WARN, Place("setting", "training.batch_size", early))
    late = finding(
        "batch-size-off", Verdict.WARN,
        Place("setting", "training.batch_size", "32; the noise scale of the checkpoint is 1"),
    )  # fmt: skip
    assert [one.id for one in diagnosed((DEAD, small), {}, 0)] == ["dead-units", "batch-size-off"]
    assert [one.id for one in diagnosed((DEAD, late), {}, 0)] == ["dead-units"]


@pytest.mark.parametrize(("noise", "merged"), [("59 examples", 16), ("above 24 examples", 12)])
def test_a_batch_too_small_comes_first_where_larger_ones_do_better_on_the_same_examples(
    noise: str, merged: int
) -> None:
    early = Place(
        "setting", "training.batch_size", f"2; the noise scale of fresh weights is {noise}"
    )
    small = finding("batch-size-off", Verdict.WARN, early)
    cure = TreatmentOver(merged=merged, steps=40 * merged)
    assert cure in trials((DEAD, small, UNLEARNT), {}, 0)
    assert cure.controls == (TreatmentOver(steps=40 * merged),)
    helped, in_vain = effect(cure, 0.1, 0.9), effect(cure, 0.9, 0.1)
    first, *_ = diagnosed((DEAD, small, UNLEARNT), helped, 0)
    assert (first.id, first.confidence) == ("batch-size-off", "confirmed by a trial")
    assert diagnosed((DEAD, small, UNLEARNT), in_vain, 0)[0].id == "dead-units"
    assert not any(one.merged > 1 and one != cure for one in trials((DEAD, small), helped, 0))


@pytest.mark.parametrize(("rate", "low"), [("2e-05", True), ("0.0004", True), ("0.05", False)])
def test_a_model_that_only_a_faster_copy_mends_may_have_too_low_a_rate(
    rate: str, low: bool
) -> None:
    held = Place("setting", "training.optimizer", f"learning rate {rate}, weight decay 0")
    (cause,) = diagnosed((finding("underfitted", Verdict.WARN, held),), {}, 0)
    assert cause.id == ("learning-rate-too-low" if low else "underfitted")


@pytest.mark.parametrize(
    ("check", "note", "verdict", "cause"),
    [
        (
            "loss-unfit-for-task",
            "not finite for a sure and wrong answer",
            Verdict.WARN,
            "loss-unfit-for-task",
        ),
        ("loss-unfit-for-task", "is summed over the batch", Verdict.WARN, "loss-summed"),
        ("loss-unfit-for-task", "cross_entropy on exclusive classes", Verdict.WARN, None),
        ("suspicious-labels", "250 different examples in 1,024", Verdict.WARN, "repeated-examples"),
        ("suspicious-labels", "labelled 1, elsewhere otherwise", Verdict.WARN, "suspicious-labels"),
        (
            "not-reproducible",
            "its weight is 120 times too large until a pass in training mode",
            Verdict.FAIL,
            "stale-spectral-norm",
        ),
        (
            "not-reproducible",
            "draws scaled_dot_product_attention(dropout_p > 0) in evaluation mode",
            Verdict.FAIL,
            "dropout-left-on",
        ),
        ("not-reproducible", "draws randn in evaluation mode", Verdict.WARN, None),
        ("not-reproducible", "reads the padding", Verdict.WARN, None),
    ],
)
def test_a_cause_is_named_by_what_is_said_of_the_place(
    check: str, note: str, verdict: Verdict, cause: str | None
) -> None:
    causes = diagnosed((finding(check, verdict, Place("setting", "here", note)), UNLEARNT), {}, 0)
    assert [one.id for one in causes][:1] == ([cause] if cause else [])


def test_a_sum_comes_before_a_logarithm_that_may_yet_fail() -> None:
    notes = ("is summed over the batch", "not finite for a sure and wrong answer")
    places = (Place("setting", "loss", note) for note in notes)
    (cause,) = diagnosed((finding("loss-unfit-for-task", Verdict.WARN, *places), UNLEARNT), {}, 0)
    assert cause.id == "loss-summed"


def test_a_flipped_bit_comes_before_what_it_brings_about_and_what_a_lower_rate_hides() -> None:
    note = "[0, 3] is 9.1e+37, 2.8e+38 times the largest of the rest"
    flipped = finding("weights-degenerate", Verdict.FAIL, Place("parameter", "head.weight", note))
    broken = [finding(c) for c in ("exploding-gradients", "non-finite-values", "trained-loss-off")]
    clip = TreatmentOver(clip_norm=1.0)
    anew = TreatmentOver(start="checkpoint", anew="head.weight")
    helped = {**effect(clip, 0.1, 0.9), **effect(anew, 0.1, 0.9)}
    for answers in ({}, helped):
        (cause, *_) = diagnosed((*broken, flipped), answers, 0)
        assert cause.id == "weights-degenerate"
        assert set(cause.findings) >= {finding.check for finding in broken}
