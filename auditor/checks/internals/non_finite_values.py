"""NaN and infinity, the first layer where they appear, and the example that makes them.

What it does
------------
Looks for values that are no numbers any more (NaN) or beyond all numbers (infinity): in the
checkpoint's parameters and buffers, in inputs and targets, in every layer's output, in the losses
and in the gradients. It names the first layer where one appears, in the order of execution, and for
gradients the first on the way back from the loss; and the examples that make it.

Why it matters
--------------
NaN spreads to everything that it touches: one in a weight makes every output NaN, one in a gradient
makes every weight NaN with the next step. A model with one is broken for at least some inputs.

How it is measured
------------------
Weights are read from the checkpoint whole. Activations and losses are looked at over validation
batches in evaluation mode, as many as any check reads, and over batches in training mode, with
their gradients. Of the first three batches with a fault, parts are run on a copy of the model,
halved until single examples are left; what their inputs have that no other of the batch has is
told. What was not looked at, for want of a model or of data, is named.

When it misleads
----------------
Minus infinity is how attention hides positions, so where it comes alone and the losses stay finite
it is not a fault. NaN in positions that the loss leaves out, such as padding, warns and no more, as
long as losses and gradients are finite. Values that overflow only in half precision, or only for
inputs that the batches lack, are not seen. A NaN in the data is the data's fault, not the model's:
the summary says when inputs or targets held it already. An example that makes a fault only together
with others, through batch statistics, is not traced.

What to do
----------
Weights that are not finite can't be mended: go back to an earlier checkpoint. Else start from the
first place named. Look there for a division, a logarithm, a root or an exponential, add an epsilon
or clamp its input, and run the example named under `torch.autograd.set_detect_anomaly(True)`.

Source
------
IEEE 754-2019, section 6 (how infinity and NaN propagate); PyTorch documentation, "Automatic
differentiation package", anomaly detection; Goodfellow, Bengio, Courville 2016, "Deep Learning",
section 4.1, overflow and underflow.
"""

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.finite import (
    NonFiniteInTrainingOver,
    NonFiniteOver,
    WeightFlags,
    WeightFlagsOf,
)
from auditor.observations.finite_faults import (
    Fault,
    broken_batches,
    harmless,
    in_gradients,
    in_values,
)
from auditor.observations.gradients import GradientNormsOver

WEIGHTS = WeightFlagsOf()
VALUES = NonFiniteOver(split="val")
TRAINING = NonFiniteInTrainingOver()
GRADIENTS = GradientNormsOver()

MOST = 40
"""Places of a kind that are told one by one."""

NONE = Limit(fail=0, source="IEEE 754: one NaN is enough to spoil whatever is computed from it")


@check(
    title="Weights, activations, losses and gradients are finite",
    failure_title="Values are not finite",
    needs=(WEIGHTS,),
    wants=(VALUES, TRAINING, GRADIENTS),
    limits={"non_finite": NONE},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether anything seen is NaN or infinite."""
    weights, values, gradients = seen[WEIGHTS], seen.get(VALUES), seen.get(GRADIENTS)
    training = seen.get(TRAINING)
    spoilt = sum(weights.nan) + sum(weights.infinite)
    faults = _in_weights(weights)
    looked_at = [f"{sum(weights.sizes):,} weights"]
    unseen, notes = [], []
    if values is not None:
        faults += in_values(values, spoilt, "evaluation mode")
        looked_at.append(f"the activations for {counted(values.seen, 'example')}")
        notes = harmless(values)
    else:
        unseen.append(f"activations ({seen.missing(VALUES) or 'not asked for'})")
    forward_broke = len(faults) > len(_in_weights(weights))
    if training is not None and (not forward_broke or training.split != "val"):
        faults += in_values(training, spoilt, "training mode")
    if gradients is not None:
        faults += in_gradients(gradients, training, spoilt)
        looked_at.append(f"the gradients of {counted(len(gradients.losses), 'batch', 'batches')}")
    else:
        unseen.append(f"gradients ({seen.missing(GRADIENTS) or 'not asked for'})")
    places = [place for fault in faults for place in fault.places]
    where = tuple(dict.fromkeys(places))
    if faults:
        summary = " ".join(fault.sentence for fault in faults)
    else:
        summary = " ".join([f"All finite: {', '.join(looked_at)}.", *notes])
    if unseen:
        summary += f" Not looked at: {'; '.join(unseen)}."
    unread = bool(faults) and all(fault.unread for fault in faults)
    verdict = Verdict.WARN if unread else Verdict.FAIL
    return Judgement(
        verdict if faults else Verdict.PASS,
        summary,
        metrics=(
            Metric("weights not finite", spoilt, "values", limit=limits["non_finite"]),
            *(
                Metric(f"batches with {what} not finite", count, limit=limits["non_finite"])
                for what, count in broken_batches(values, gradients)
            ),
        ),
        where=where,
        advice=tuple(dict.fromkeys(fault.advice for fault in faults if fault.advice)),
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
        Fault(
            f"The checkpoint itself holds {counted(sum(r[0] for r in rows), 'value')} that "
            f"{'is' if sum(r[0] for r in rows) == 1 else 'are'} not finite, in "
            f"{listed([name for _, name, _ in rows], 3)}.",
            tuple(Place("parameter", clean_text(name), note) for _, name, note in rows[:MOST]),
            "Go back to the last checkpoint before the values broke: weights that are NaN can't "
            "be mended. Then train on with a lower learning rate and with "
            "`torch.nn.utils.clip_grad_norm_`.",
        )
    ]


def _table(where: tuple[Place, ...]) -> Table:
    return Table(
        title="Where values are not finite",
        caption="Weights worst first, layers in the order of execution: the first layer is where "
        "to look, the later ones only pass it on.",
        columns=("what", "name", "found"),
        rows=tuple((place.kind, place.name, place.note) for place in where[:MOST]),
    )
