"""Checkpoints and layers that never left their initial values, steps that change nothing.

What it does
------------
Makes some steps of the declared optimizer on a copy and looks which parameters change; then looks
in the checkpoint for what a training run leaves behind, and for weights that are still as the
factory makes them.

Why it matters
--------------
`optimizer.step()` forgotten, weights saved before training or from another copy of the model, a
layer that the optimizer does not hold, steps too small for the precision of the weights: none of
these raises an error, and the loss still prints.

How it is measured
------------------
A copy of the model makes three steps, with the optimizer's moments from the checkpoint where they
are there. A parameter whose every value stays bit for bit the same is told, with the reason: no
gradient, only zeros, not in the optimizer, a learning rate of 0, or steps that round to nothing. A
bias whose value makes no difference to the loss, as one does that cancels out of every distance, is
told without blame.

Fresh models are built under seeds that scripts like (and the declared one). A parameter is at its
start where it equals a fresh one bit for bit; where fresh ones are all the same number, such as the
0 of a bias or the 1 of a normalisation, and it still is that; or where fresh ones are drawn evenly
from an interval and its smallest and largest of 200 values or more lie no farther from the ends
than fresh ones' would (at 99 %: an evenly drawn value lies within a share s of an end with
probability s, so of n none does with (1 - s)^n), with mean, deviation and first singular value
within Student's prediction interval of fresh ones. Training that moves weights outwards by
a few percent takes them out of this; so that after a few short steps small tensors are not blamed
where large ones show more, the others have to have moved three times as far as would show (by the
lower quartile of what is known of them, each times the length of a step of this parameter over that
of one of its own: behind sigmoids steps are short). Parameters drawn from a normal distribution
prove nothing alone. All bounds share out 1 % of error among the parameters.

Where nothing has left its start, the checkpoint was never trained: that fails. If a step of the
optimizer, times the square root of those that it has counted, goes farther than would show, no
learning rate explains it. Where no parameter is large enough to prove it, 64 values or more, and
half of all, that lie as fresh ones do warn, if the model answers validation data no better than the
best constant does. Single parameters at their start warn, and fail where they are weights that a
step would move.

When it misleads
----------------
A part that the training script froze at random is at its start on purpose. Weights in half
precision may round back to 1, so that there a constant other than 0 proves nothing. A factory that
loads trained weights hides what fresh ones are; the finding says so.

What to do
----------
Check that `optimizer.step()` is called after `backward()`, that the optimizer was made from the
parameters of the model that is saved, and that saving comes after training.

Source
------
Micikevicius et al. 2018, "Mixed Precision Training", section 3.1 (updates that vanish in half
precision, master weights); He et al. 2015 and Glorot & Bengio 2010 for the initialisations; Martin
& Mahoney 2021, "Implicit Self-Regularization in Deep Neural Networks", JMLR 22 (singular values
that training takes out of the random bulk).
"""

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Cell, Figure, Table
from auditor.core.finding import Judgement, Metric
from auditor.core.foremost import reading_order
from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.at_start import Start, start_of
from auditor.observations.frozen_trial import FrozenTrialOver, said_of_frozen
from auditor.observations.initial_weights import InitialWeightsOf
from auditor.observations.lost_steps import said_of_steps, why_unchanged
from auditor.observations.optimizer_state import OptimizersHeldIn
from auditor.observations.performance import PerformanceOver
from auditor.observations.reach import SilenceCausesOver
from auditor.observations.saved_steps import said_of_optimizer
from auditor.observations.step_changes import StepChanges, StepChangesOver
from auditor.observations.untrained import proof_of_start, said_of_weights

STEP = StepChangesOver()
FRESH = InitialWeightsOf()
HELD = OptimizersHeldIn()
CAUSES = SilenceCausesOver()
FROZEN = FrozenTrialOver()
PERFORMANCE = PerformanceOver(split="val")


@check(
    title="Updates arrive in the weights",
    failure_title="Updates do not arrive in the weights",
    needs=(HELD,),
    wants=(STEP, FRESH, CAUSES, FROZEN, PERFORMANCE),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge a step on a copy, what training left in the checkpoint, and the weights themselves."""
    held, step, fresh = seen[HELD], seen.get(STEP), seen.get(FRESH)
    if not held.trainable:
        return Judgement(
            Verdict.NOT_APPLICABLE, "The model has no trainable parameters, so none is updated."
        )
    kept = [o for o in held.optimizers if o.where and not o.strangers and o.held]
    start = start_of(fresh, step) if fresh is not None else None
    if step is None and start is None and not kept:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "Nothing was there to judge by. A step needs training data, a loss and an optimizer: "
            f"{seen.missing(STEP)}. Fresh weights: {seen.missing(FRESH)}.",
        )
    scores = seen.get(PERFORMANCE)
    said = [
        *(said_of_weights(start, fresh, step, scores, held.counted) if start and fresh else []),
        *(said_of_frozen(fresh, seen.get(FROZEN)) if fresh is not None else []),
        *(said for optimizer in kept for said in said_of_optimizer(optimizer, held)),
        *(said_of_steps(step, seen.get(CAUSES)) if step is not None else []),
    ]
    verdict = worst(one.verdict for one in said) if said else Verdict.PASS
    summary = [one.text for one in sorted(said, key=lambda one: -SEVERITY[one.verdict])]
    if verdict in (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE):
        summary = [*_fine(step, start), *summary]
        proof = step is not None or (start is not None and start.moved)
        verdict = Verdict.PASS if proof else Verdict.INFO
    for request, what in ((STEP, "No step was made"), (FRESH, "Weights were not compared")):
        if seen.get(request) is None:
            summary.append(f"{what}: {seen.missing(request) or 'not asked for'}.")
    return Judgement(
        verdict,
        " ".join(summary),
        metrics=_metrics(step, start),
        where=tuple(dict.fromkeys(place for one in said for place in one.where)),
        advice=tuple(dict.fromkeys(one.advice for one in said if one.advice)),
        figures=_figures(step, start),
    )


def _fine(step: StepChanges | None, start: Start | None) -> list[str]:
    parts = []
    if step is not None:
        moving = sum(c.changed > 0 for c in step.parameters)
        moments = " with its saved moments" if step.restored else ""
        steps = f"{counted(len(step.losses), 'step')} of {clean_text(step.optimizer)}{moments}"
        parts.append(
            f"{steps} on a copy change{'s' if len(step.losses) == 1 else ''} {moving:,} of "
            f"{counted(len(step.parameters), 'trainable parameter')}."
        )
    if start is not None and start.moved:
        parts.append(
            f"{len(start.moved):,} of {start.total:,} are provably not what fresh models have."
        )
    elif start is not None:
        parts.append("Whether the weights have left their start can't be told from them.")
    return parts


def _metrics(step: StepChanges | None, start: Start | None) -> tuple[Metric, ...]:
    found = []
    if step is not None:
        total = f"of {len(step.parameters):,}"
        moving = sum(c.changed > 0 for c in step.parameters)
        found.append(Metric("trainable parameters that a step changes", moving, total))
    if start is not None:
        total = f"of {start.total:,}"
        found.append(Metric("parameters proven to be at their start", len(start.proven), total))
        found.append(Metric("parameters proven to have moved", len(start.moved), total))
    return tuple(found)


def _figures(step: StepChanges | None, start: Start | None) -> tuple[Figure, ...]:
    rows: dict[str, list[Cell]] = {}
    for tensors, what in (
        (start.proven if start else (), "at its start"),
        (start.moved if start else (), "has moved"),
        (start.alike if start else (), "like a fresh one, too small to prove it"),
        (start.given if start else (), "as the factory hands it out"),
    ):
        for tensor in tensors:
            note = f"{what}: {proof_of_start(tensor)}" if what == "at its start" else what
            rows[tensor.name] = [clean_text(tensor.name), tensor.size, note, None, ""]
    for change in step.parameters if step is not None else ():
        row = rows.setdefault(
            change.name, [clean_text(change.name), change.size, "can't be told", None, ""]
        )
        row[3] = change.changed
        row[4] = why_unchanged(change) if change.changed == 0 else ""
    if not rows:
        return ()
    table = list(rows.values())
    order, worst_first = reading_order(
        [2 * (row[3] == 0) + str(row[2]).startswith("at its start") for row in table]
    )
    return (
        Table(
            title="Parameters and their updates",
            caption="Whether each trainable parameter has left the values it was built with, and "
            f"the share of its values that a few steps on a copy change.{worst_first}",
            columns=("parameter", "values", "since it was built", "changed by a step", "why not"),
            rows=tuple(tuple(table[place]) for place in order),
        ),
    )
