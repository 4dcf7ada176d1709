"""NaN and infinity, in weights, activations, losses and gradients.

What it does
------------
Looks for values that are no numbers any more (NaN) or beyond all numbers (infinity): in the
checkpoint's parameters and buffers, in every layer's output, in the losses and in the gradients. It
names the first layer, in the order of execution, where one appears.

Why it matters
--------------
NaN spreads to everything that it touches: one in a weight makes every output NaN, one in a gradient
makes every weight NaN with the next step. A model with one is broken for at least some inputs.

How it is measured
------------------
Weights are read from the checkpoint whole. Activations and losses are looked at over validation
batches in evaluation mode, gradients over batches in training mode. What was not looked at, for
want of a model or of data, is named.

When it misleads
----------------
Minus infinity is how attention hides positions, so where it comes alone and the losses stay finite
it is not a fault. Values that overflow only in half precision, or only for inputs that the batches
lack, are not seen. A NaN in the data is the data's fault, not the model's: the summary says when
the inputs held it already.

What to do
----------
Weights that are not finite can't be mended: go back to an earlier checkpoint. Else start from the
first place named. Look there for a division, a logarithm, a root or an exponential, add an epsilon
or clamp its input, and run that batch under `torch.autograd.set_detect_anomaly(True)`.

Source
------
IEEE 754-2019, section 6 (how infinity and NaN propagate); PyTorch documentation, "Automatic
differentiation package", anomaly detection; Goodfellow, Bengio, Courville 2016, "Deep Learning",
section 4.1, overflow and underflow.
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.finite import (
    NAN,
    POSITIVE,
    NonFinite,
    NonFiniteOver,
    WeightFlags,
    WeightFlagsOf,
)
from auditor.observations.gradients import GradientNorms, GradientNormsOver

WEIGHTS = WeightFlagsOf()
VALUES = NonFiniteOver(split="val")
GRADIENTS = GradientNormsOver()

NONE = Limit(fail=0, source="IEEE 754: one NaN is enough to spoil whatever is computed from it")

Fault = tuple[str, tuple[Place, ...], str]
"""A sentence on what was found, where, and what to do about it, empty where that is said."""


@check(
    title="Weights, activations, losses and gradients are finite",
    failure_title="Values are not finite",
    needs=(WEIGHTS,),
    wants=(VALUES, GRADIENTS),
    limits={"non_finite": NONE},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether anything seen is NaN or infinite."""
    weights, values, gradients = seen[WEIGHTS], seen.get(VALUES), seen.get(GRADIENTS)
    spoilt = sum(weights.nan) + sum(weights.infinite)
    faults = [*_in_weights(weights)]
    looked_at = [f"{sum(weights.sizes):,} weights"]
    unseen = []
    notes = ""
    if values is not None:
        faults += _in_values(values, spoilt)
        looked_at.append(f"the activations for {counted(values.seen, 'example')}")
        hidden = int((values.flags != 0).any(axis=0).sum())
        if hidden and not faults:
            notes = (
                f" Minus infinity stands in the output of {counted(hidden, 'layer')}, with finite "
                "results: that is how attention hides positions."
            )
    else:
        unseen.append(f"activations ({seen.missing(VALUES) or 'not asked for'})")
    if gradients is not None:
        faults += _in_gradients(gradients, spoilt)
        looked_at.append(f"the gradients of {counted(len(gradients.losses), 'batch', 'batches')}")
    else:
        unseen.append(f"gradients ({seen.missing(GRADIENTS) or 'not asked for'})")
    where = tuple(place for _, places, _ in faults for place in places)
    if faults:
        summary = " ".join(sentence for sentence, _, _ in faults)
    else:
        summary = f"All finite: {', '.join(looked_at)}.{notes}"
    if unseen:
        summary += f" Not looked at: {'; '.join(unseen)}."
    return Judgement(
        Verdict.FAIL if faults else Verdict.PASS,
        summary,
        metrics=(
            Metric("weights not finite", spoilt, "values", limit=limits["non_finite"]),
            *_share_of_batches(values, gradients, limits),
        ),
        where=where,
        advice=tuple(advice for _, _, advice in faults if advice),
        figures=(_table(where),) if where else (),
    )


def _in_weights(weights: WeightFlags) -> list[Fault]:
    rows = [
        (nan + infinite, name, f"{nan:,} NaN and {infinite:,} infinite of {size:,} values")
        for name, size, nan, infinite in zip(
            weights.names, weights.sizes, weights.nan, weights.infinite, strict=True
        )
        if nan or infinite
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: -row[0])
    return [
        (
            f"The checkpoint itself holds {counted(sum(r[0] for r in rows), 'value')} that "
            f"{'is' if sum(r[0] for r in rows) == 1 else 'are'} not finite, in "
            f"{listed([name for _, name, _ in rows], 3)}.",
            tuple(Place("parameter", clean_text(name), note) for _, name, note in rows),
            "Go back to the last checkpoint before the values broke: weights that are NaN can't "
            "be mended. Then train on with a lower learning rate and with "
            "`torch.nn.utils.clip_grad_norm_`.",
        )
    ]


def _in_values(values: NonFinite, spoilt: int) -> list[Fault]:
    bad = (values.flags & (NAN | POSITIVE)) != 0
    batches = bad.any(axis=1)
    lost = np.zeros(len(values.input_flags), bool)
    lost[: len(values.losses)] = ~np.isfinite(values.losses)
    if not batches.any() and not lost.any() and not values.examples:
        return []
    total = len(values.input_flags)
    broken = batches | lost
    from_inputs = broken & (values.input_flags != 0)
    places = []
    if batches.any():
        columns = np.flatnonzero(bad.any(axis=0))
        first = clean_text(values.layers[columns[0]])
        sentence = (
            f"NaN or infinity first appears in the output of `{first}`, in {int(batches.sum()):,} "
            f"of {counted(total, 'batch', 'batches')}."
        )
        for column in columns:
            kind = "NaN" if (values.flags[:, column] & NAN).any() else "+infinity"
            note = f"{kind} in {counted(int(bad[:, column].sum()), 'batch', 'batches')}"
            places.append(Place("layer", clean_text(values.layers[column]), note))
    else:
        first = "the loss"
        sentence = (
            f"The loss is not finite for {int(lost.sum()):,} of "
            f"{counted(total, 'batch', 'batches')}, while every layer's output is."
        )
    if values.examples:
        sentence += (
            f" The outputs of {counted(len(values.examples), 'example')} are not finite, among "
            f"them number {listed([str(index) for index in values.examples])}."
        )
        places += [
            Place("example", str(index), "its output is not finite")
            for index in values.examples[:20]
        ]
    advice = (
        f"Run the first such batch under `torch.autograd.set_detect_anomaly(True)` and look in "
        f"`{first}` for a division, logarithm, root or exponential without an epsilon or a clamp."
    )
    if spoilt:  # Weights that are not finite explain whatever comes after them.
        advice = ""
    if from_inputs.any():
        whole = "all" if from_inputs.sum() == broken.sum() else f"{int(from_inputs.sum()):,}"
        sentence += f" The inputs of {whole} of these batches held values that are not finite."
        advice = (
            "Clean the data first: its inputs hold NaN or infinity before the model has seen "
            "them. Drop or fill them in the loader, and assert `torch.isfinite(inputs).all()`."
        )
    return [(sentence, tuple(places), advice)]


def _in_gradients(gradients: GradientNorms, spoilt: int) -> list[Fault]:
    lost = int((~np.isfinite(gradients.losses)).sum())
    bad = np.isinf(gradients.parameter_norms)
    deep = np.isinf(gradients.activation_norms)
    if not lost and not bad.any() and not deep.any():
        return []
    total = counted(len(gradients.losses), "batch", "batches")
    batches = bad.any(axis=1) | deep.any(axis=1)
    if batches.any():
        sentence = (
            f"Gradients are not finite in {int(batches.sum()):,} of {total} in training mode."
        )
    else:
        sentence = f"The loss is not finite in {lost:,} of {total} in training mode."
    counts = bad.sum(axis=0)
    places = [
        Place(
            "parameter",
            clean_text(gradients.parameters[column]),
            f"gradient not finite in {counted(int(counts[column]), 'batch', 'batches')}",
        )
        for column in np.argsort(-counts, kind="stable")
        if counts[column]
    ]
    last = [gradients.layers[column] for column in np.flatnonzero(deep.any(axis=0))]
    start = f"`{clean_text(last[-1])}`" if last else "the loss"
    advice = (
        f"The gradient breaks at {start} first, coming from the output. Look there for a root, "
        "norm or logarithm at zero, whose slope is infinite though its value is not."
    )
    return [(sentence, tuple(places), "" if spoilt else advice)]


def _share_of_batches(
    values: NonFinite | None, gradients: GradientNorms | None, limits: Limits
) -> tuple[Metric, ...]:
    metrics = []
    if values is not None:
        bad = ((values.flags & (NAN | POSITIVE)) != 0).any(axis=1).sum()
        metrics.append(("batches with activations not finite", int(bad)))
    if gradients is not None:
        bad = np.isinf(gradients.parameter_norms).any(axis=1).sum()
        metrics.append(("batches with gradients not finite", int(bad)))
    return tuple(Metric(name, count, limit=limits["non_finite"]) for name, count in metrics)


def _table(where: tuple[Place, ...]) -> Table:
    return Table(
        title="Where values are not finite",
        caption="Weights worst first, layers in the order of execution: the first layer is where "
        "to look, the later ones only pass it on.",
        columns=("what", "name", "found"),
        rows=tuple((place.kind, place.name, place.note) for place in where[:40]),
    )
