"""Outputs that depend on the other examples of the batch, and the layer that mixes them.

What it does
------------
Runs a few validation examples together in evaluation mode, gives one of them the inputs of another,
and looks at the outputs of all the others, which must not move.

Why it matters
--------------
Where examples reach one another, a score in validation is that of a batch, not of the model: an
example on its own, or in other company, gets another answer. In training the model may read the
answers off its neighbours.

How it is measured
------------------
A private copy runs in double precision where it can, from the same random numbers each time, so
that what moves by more than a billionth (of the largest output) is no rounding; where single
precision is all that the model allows, by more than a ten-thousandth. Each example is replaced in
turn. The module is named whose inputs differ only for the replaced example and whose outputs differ
for others too, the innermost and first. The gradient of one example's output by the inputs of the
others is measured beside it: it is zero where the values do not move, but for a backward pass that
was written by hand.

When it misleads
----------------
Nodes of one graph, rows and columns of a table of similarities and models that read the whole batch
as one set depend on one another by design: where the inputs or outputs show it, the check does not
apply; where they do not, waive it. Batches whose first dimension is time are told by their targets
or by the size that the loader gives its batches; where neither tells, it warns at most. A change
that is lost in a dead or saturated layer is not seen. Batch norm mixes examples in training, which
is what it is for, and is told, not blamed.

What to do
----------
The usual reasons are a `view` or `reshape` that mixes dimensions, a sum or softmax over dimension
0, a recurrent layer or an attention with `batch_first=False` that is given batch-first data, and
batch norm that has no running statistics. Look at the first module named: print the shapes of what
it takes and puts out, and find the dimension of the examples in each.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" ("use backprop to chart dependencies": the
gradient of example i's output must be zero for all inputs but the i-th).
"""

import math

import numpy as np

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Guide, Heatmap
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.layer import MODEL
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.batch_leak import BatchLeak, BatchLeakOver
from auditor.observations.culprit import Culprit

LEAK = BatchLeakOver()


@check(
    title="Each example is judged by itself",
    failure_title="Examples of a batch reach one another",
    needs=(LEAK,),
    limits={
        "moved": Limit(
            fail=0.0,
            source="share of the largest output, beyond rounding: an output that moves with "
            "another example's inputs is not a function of its own",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far the outputs of examples move that were left as they are."""
    leak = seen[LEAK]
    others = np.where(np.eye(leak.examples, dtype=bool), 0.0, np.asarray(leak.moved, float))
    own = float(np.diag(leak.moved).max())
    most = float(others.max())
    beyond = most if most > leak.tolerance else 0.0
    metrics = (
        Metric(
            "largest move of an output by another example's inputs",
            beyond,
            "of the largest output",
            limit=limits["moved"],
        ),
        Metric("largest move by its own inputs", own, "of the largest output"),
        *(
            (Metric("gradient by others' inputs", leak.gradient, "of that by its own"),)
            if math.isfinite(leak.gradient)
            else ()
        ),
    )
    verdict = limits["moved"].verdict(beyond)
    if verdict in (Verdict.WARN, Verdict.FAIL):
        return _leaking(leak, others, metrics, verdict)
    if own <= leak.tolerance:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"No output moves at all, not even when the example's own inputs are replaced (tried "
            f"on {counted(leak.examples, 'example')}), so nothing shows who depends on whom.",
        )
    said = (
        f"When each of {counted(leak.examples, 'example')} in turn gets other inputs, its own "
        f"output moves by up to {own:.2g} of the largest and those of the others not beyond "
        f"rounding ({leak.tolerance:g}, {leak.precision})."
    )
    if math.isfinite(leak.gradient) and leak.gradient > leak.tolerance:
        return Judgement(
            Verdict.WARN,
            f"{said} Yet the gradient by the inputs of others is {leak.gradient:.2g} of that by "
            "its own: a backward pass that belongs to another forward pass trains each example on "
            "its neighbours.",
            metrics=metrics,
            advice=(
                step(
                    "Look for a custom `torch.autograd.Function`, a straight-through estimate or a "
                    "backward hook, and whether its gradient belongs to its values, here of one "
                    "named `Custom`:",
                    "x = torch.randn(4, dtype=torch.float64, requires_grad=True)\n"
                    "assert torch.autograd.gradcheck(Custom.apply, x)",
                ),
            ),
            figures=(
                Bars(
                    title="Whose inputs the gradient of an output reaches",
                    caption="The largest gradient of one example's output, by its own inputs and "
                    "by those of others, relative to the former; the line is what rounding makes.",
                    label="gradient",
                    labels=("own inputs", "inputs of others"),
                    values=(1.0, leak.gradient),
                    marked=(False, True),
                    guides=(Guide(leak.tolerance, "rounding"),),
                    log=True,
                ),
            ),
        )
    return Judgement(verdict, said + _in_training(leak), metrics=metrics)


def _leaking(
    leak: BatchLeak, others: np.ndarray, metrics: tuple[Metric, ...], verdict: Verdict
) -> Judgement:
    """Return the judgement of a model whose examples reach one another."""
    reached = int((others > leak.tolerance).sum())
    pairs = leak.examples * (leak.examples - 1)
    i, j = np.unravel_index(int(others.argmax()), others.shape)
    amount = (
        "without bound" if math.isinf(others.max()) else f"by {others.max():.2g} of the largest"
    )
    said = (
        f"In evaluation mode, replacing the inputs of one example moves the outputs of others: in "
        f"{reached:,} of {pairs:,} pairs, most from example {j} to example {i}, {amount} output."
    )
    if leak.unsettled and leak.culprit is not None and leak.culprit.batch_first is False:
        verdict = Verdict.WARN
        said += (
            " Inputs and targets share their first two dimensions, so that nothing else tells "
            "which of them counts examples: if it is the second, as `batch_first=False` has it, "
            "all is well."
        )
    where: tuple[Place, ...] = ()
    if leak.culprit is not None:
        said += f" They first meet in {leak.culprit.shown}."
        where = (leak.culprit.place("the first to pass one example's inputs on to others"),)
    return Judgement(
        verdict,
        said + _in_training(leak),
        metrics=metrics,
        where=where,
        advice=_advice(leak, leak.culprit),
        figures=(_figure(leak),),
    )


def _in_training(leak: BatchLeak) -> str:
    """Return what training mode adds: batch norm explained, anything else named."""
    said = ""
    if leak.norms:
        said += (
            f" In training mode {counted(len(leak.norms), 'batch-norm layer')} "
            f"({listed(list(leak.norms), 3)}) {'mixes' if len(leak.norms) == 1 else 'mix'} the "
            "examples of a batch, which is what batch norm does and not held against it."
        )
    eval_leaks = leak.culprit is not None
    if leak.training.found and not eval_leaks:
        first = f", first in {leak.training.culprit.shown}" if leak.training.culprit else ""
        said += (
            " In training mode examples reach one another beside that"
            f"{first}: fine where it mixes them on purpose, as mixup and contrastive terms do."
        )
    return said


def _advice(leak: BatchLeak, culprit: Culprit | None) -> tuple[str, ...]:
    if culprit is None:
        return (
            step(
                "No single module could be named: run two batches that differ in their second "
                "example, and see which modules put out something else for the first one.",
                probes.outputs_compared(),
            ),
        )
    name, kind = clean_text(culprit.layer), culprit.kind
    norm = "BatchNorm" in kind
    if norm:
        first = (
            f"`{name}` uses the statistics of the batch in evaluation mode too: build it with "
            "`track_running_stats=True` (and train, so that there are some), and look for a "
            "`.train()` after `model.eval()`."
        )
    elif culprit.batch_first is False:
        first = (
            f"`{name}` has `batch_first=False`, so it takes dimension 0 for time and runs along "
            f"the examples. Build it with `batch_first=True`, or give it `x.transpose(0, 1)` and "
            "transpose what it puts out back. Then train anew."
        )
    elif culprit.inner or culprit.layer == MODEL:
        owner = "the model's `forward`" if culprit.layer == MODEL else f"`{name}`'s own `forward`"
        first = (
            f"Read {owner}: look for a `view` or `reshape` that should be a `transpose` or "
            "`permute`, a `mean`, `sum`, `max`, `softmax`, `cumsum` or `norm` over dimension 0 or "
            "over all dimensions, and `x.T` of more than two."
        )
    else:
        first = (
            f"Look at the dimension over which `{name}` ({clean_text(kind, 60)}) works: the "
            "examples stand in another one than it takes for theirs (a mean, softmax, cumsum or "
            "reshape with `dim=0` in place of `dim=1`, or a layer that wants its input transposed)."
        )
    return (
        first,
        step(
            "Prove it mended: the first output must not hang on the inputs of other examples.",
            "x = next(iter(val_loader))[0].requires_grad_()\n"
            "model.eval()(x)[0].sum().backward()\n"
            "assert not x.grad[1:].any()",
        )
        if not math.isnan(leak.gradient)
        else step(
            "Prove it mended: the first output must not hang on the inputs of other examples.",
            "x = next(iter(val_loader))[0]\n"
            "changed = torch.cat([x[:1], x[1:].flip(0)])\n"
            "with torch.no_grad():\n"
            "    assert torch.allclose(model.eval()(x)[0], model(changed)[0])",
        ),
        "Scores measured so far are those of batches: measure anew, and train anew where the "
        "layer took part in training.",
    )


def _figure(leak: BatchLeak) -> Heatmap:
    names = tuple(str(n) for n in range(leak.examples))
    moved = np.asarray(leak.moved, float)
    moved = np.where(moved > leak.tolerance, moved, 0.0)
    return Heatmap(
        title="Who moves whose output",
        caption="Largest change of each output when one example is replaced, as a share of the "
        "largest output; only the diagonal should have any.",
        x_label="example whose inputs were replaced",
        y_label="example whose output is looked at",
        label="change",
        values=tuple(tuple(float(v) for v in row) for row in np.minimum(moved, 1e6)),
        x_names=names,
        y_names=names,
    )
