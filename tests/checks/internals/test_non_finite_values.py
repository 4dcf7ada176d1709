from dataclasses import replace

import numpy as np

from auditor.checks.internals.non_finite_values import GRADIENTS, TRAINING, VALUES, WEIGHTS, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.finite import (
    NAN,
    NEGATIVE,
    POSITIVE,
    Culprit,
    NonFinite,
    WeightFlags,
)
from auditor.observations.gradients import GradientNorms


def weights(nan: tuple[int, ...] = (0, 0), infinite: tuple[int, ...] = (0, 0)) -> WeightFlags:
    return WeightFlags(("a.weight", "b.running_var"), (100, 10), nan, infinite)


def values(
    flags: list[list[int]] | None = None,
    inputs: list[int] | None = None,
    losses: list[float] | None = None,
    examples: tuple[int, ...] = (),
) -> NonFinite:
    flags = flags if flags is not None else [[0, 0, 0], [0, 0, 0]]
    return NonFinite(
        ("first", "second", "third"),
        np.array(flags, np.uint8).reshape(-1, 3),
        np.array(inputs if inputs is not None else [0] * len(flags), np.uint8),
        np.array(losses if losses is not None else [1.0] * len(flags)),
        examples,
        8 * len(flags),
        "val",
    )


def gradients(norms: list[list[float]], losses: list[float] | None = None, flow=None):
    return GradientNorms(
        ("a.weight", "b.weight"),
        (2, 2),
        np.ones(2),
        np.array(norms, float),
        ("first", "second"),
        ("Linear", "Linear"),
        np.array(flow if flow is not None else np.ones((len(norms), 2))),
        np.array(losses if losses is not None else np.ones(len(norms))),
        "train",
    )


GOOD = gradients([[1, 1], [1, 1]])


def answers(w=None, v=None, g=None) -> dict:
    return {WEIGHTS: w or weights(), VALUES: v or values(), GRADIENTS: g or GOOD}


def test_all_finite(judged) -> None:
    found = judged(judge, answers())
    assert found.verdict is Verdict.PASS
    assert "110 weights" in found.summary
    assert "16 examples" in found.summary


def test_weights_worst_first(judged) -> None:
    found = judged(judge, answers(weights((1, 3), (0, 2))))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["b.running_var", "a.weight"]
    assert "6 values" in found.summary
    assert "3 NaN and 2 infinite of 10" in found.where[0].note


def test_one_weight(judged) -> None:
    assert "1 value that is not finite" in judged(judge, answers(weights((1, 0)))).summary


def test_a_weight_that_is_nan_explains_what_comes_after_it(judged) -> None:
    spoilt = gradients([[np.inf, np.inf]], [np.nan], flow=[[np.inf, np.inf]])
    broken = answers(weights((1, 0)), values([[NAN, NAN, NAN]], losses=[np.nan]), spoilt)
    found = judged(judge, broken)
    assert found.verdict is Verdict.FAIL
    assert "division" not in " ".join(found.advice)
    assert len(found.advice) == 1
    assert "earlier" in found.advice[0] or "before the values broke" in found.advice[0]
    data = answers(weights((1, 0)), values([[NAN, NAN, NAN]], [NAN]))
    assert judged(judge, data).advice[1].startswith("Clean the data")


def test_names_the_first_layer(judged) -> None:
    found = judged(judge, answers(v=values([[0, 0, 0], [0, NAN, NAN]], examples=(9, 11))))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "second"
    assert "`second`, in 1 of 2 batches" in found.summary
    assert "number 9, 11" in found.summary
    assert [place.name for place in found.where if place.kind == "example"] == ["9", "11"]


def test_blames_the_data_where_the_inputs_are_not_finite(judged) -> None:
    found = judged(judge, answers(v=values([[NAN, NAN, NAN], [0, 0, 0]], [NAN, 0])))
    assert "inputs of all of these batches" in found.summary
    assert found.advice[0].startswith("Clean the data")


def test_minus_infinity_is_how_attention_masks(judged) -> None:
    found = judged(judge, answers(v=values([[0, NEGATIVE, 0], [0, NEGATIVE, 0]])))
    assert found.verdict is Verdict.PASS
    assert "Minus infinity" in found.summary
    lost = values([[0, NEGATIVE, 0], [0, 0, 0]], losses=[np.inf, 1.0])
    assert judged(judge, answers(v=lost)).verdict is Verdict.FAIL


def test_plus_infinity_and_losses(judged) -> None:
    assert judged(judge, answers(v=values([[POSITIVE, 0, 0]]))).verdict is Verdict.FAIL
    found = judged(judge, answers(v=values(losses=[np.nan, 1.0])))
    assert found.verdict is Verdict.FAIL
    assert "loss is not finite for 1 of 2 batches" in found.summary


def test_no_gradient_is_no_fault_but_infinite_is(judged) -> None:
    assert judged(judge, answers(g=gradients([[np.nan, 1], [np.nan, 1]]))).verdict is Verdict.PASS
    found = judged(judge, answers(g=gradients([[np.inf, 1], [1, 1]], flow=[[np.inf, 1], [1, 1]])))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["first", "a.weight"]
    assert "`first`" in found.advice[0]
    assert judged(judge, answers(g=gradients([[1, 1]], [np.nan]))).verdict is Verdict.FAIL


def test_says_what_was_not_looked_at(judged) -> None:
    missing = {
        WEIGHTS: weights(),
        VALUES: Unavailable("there is no model"),
        GRADIENTS: Unavailable("there is no loss"),
    }
    found = judged(judge, missing)
    assert found.verdict is Verdict.PASS
    assert "Not looked at: activations (there is no model); gradients" in found.summary


def test_nothing_at_all(judged) -> None:
    none = WeightFlags((), (), (), ())
    found = judged(judge, answers(none, values([]), gradients(np.empty((0, 2)))))
    assert found.verdict is Verdict.PASS


CULPRIT = Culprit(11, 1, True, True, "the input of second", "NaN", "its input is 0 at [3]")


def test_names_the_example_that_makes_it_alone(judged) -> None:
    seen = replace(values([[0, 0, 0], [0, NAN, NAN]], examples=(11,)), culprits=(CULPRIT,))
    found = judged(judge, answers(v=seen))
    assert "Example 11 of the validation data (batch 1) makes it alone" in found.summary
    assert "its batch is finite without it; its input is 0 at [3]" in found.summary
    assert [place.name for place in found.where if place.kind == "example"] == ["11"]
    assert "what makes the input of `second`" in found.advice[0]
    assert "in what `second` is given, after `first` was finite, in 1 of 2" in found.summary
    assert found.where[0].note.startswith("NaN in what it is given, in 1 batch")
    together = replace(seen, culprits=(replace(CULPRIT, example=-1, alone=False),))
    assert "only several examples together" in judged(judge, answers(v=together)).summary


def test_what_the_loss_does_not_read_warns(judged) -> None:
    padded = replace(
        values([[0, NAN, NAN], [0, 0, 0]], examples=(3,)), target_flags=np.zeros(2, np.uint8)
    )
    found = judged(judge, answers(v=padded))
    assert found.verdict is Verdict.WARN
    assert "such as padding" in found.summary
    assert judged(judge, answers(v=replace(padded, whole=1))).verdict is Verdict.FAIL
    lost = replace(padded, losses=np.array([np.nan, 1.0]))
    assert judged(judge, answers(v=lost)).verdict is Verdict.FAIL


def test_blames_targets_that_are_not_finite(judged) -> None:
    seen = replace(values(losses=[np.nan, 1.0]), target_flags=np.array([NAN, 0], np.uint8))
    found = judged(judge, answers(v=seen))
    assert "The targets of all of these batches" in found.summary
    assert "torch.isfinite(targets)" in found.advice[0]


def test_inputs_that_the_model_takes_care_of_are_noted(judged) -> None:
    found = judged(judge, answers(v=values(inputs=[NAN, 0])))
    assert found.verdict is Verdict.PASS
    assert "which the model takes care of" in found.summary


def test_what_the_training_pass_shows_explains_its_gradients(judged) -> None:
    spoilt = gradients([[np.inf, 1], [1, 1]], flow=[[np.inf, 1], [1, 1]])
    training = replace(values([[NAN, NAN, NAN], [0, 0, 0]]), split="train")
    found = judged(judge, {**answers(g=spoilt), TRAINING: training})
    assert "in 1 of 2 batches of the training data in training mode" in found.summary
    assert "Gradients" not in found.summary
    clean = replace(values(), split="train")
    assert "Gradients" in judged(judge, {**answers(g=spoilt), TRAINING: clean}).summary


def test_a_gradient_is_placed_between_two_layers_and_traced(judged) -> None:
    spoilt = gradients([[np.inf, 1]], flow=[[np.inf, 1]])
    culprit = replace(CULPRIT, place="the gradient", example=4)
    training = replace(values([[0, 0, 0]]), split="train", culprits=(culprit,))
    found = judged(judge, {**answers(g=spoilt), TRAINING: training})
    assert "first on the way from `second` back to `first`" in found.summary
    assert "Example 4 of the training data" in found.summary
