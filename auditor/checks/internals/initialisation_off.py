"""Weights that start at zero, alike, too large or too small, and what a sound start does on copies.

What it does
------------
Compares each matrix and filter of a fresh model with what PyTorch's own layer would draw. Where one
is far off, copies are trained from the model's own start and from PyTorch's.

Why it matters
--------------
Units that start alike are given the same gradients for ever and stay alike: a layer of a hundred is
worth one. Weights that start too small let the signal, and the gradient with it, die on its way
through the layers; those that start too large saturate, explode, or make the model sure of what it
does not know.

How it is measured
------------------
The standard deviation of each tensor of two dimensions or more in a fresh model, over that of the
same tensor after the module's own `reset_parameters()`. What is five times larger or smaller, or
all of one value, is in doubt; He's and Glorot's initialisations, and orthogonal matrices, are
within three times. Embeddings, frozen modules and parametrised ones are left out.

A doubt is no fault: layers are set to zero on purpose where a branch is to begin as nothing. So
fresh copies are trained from either start, without dropout, by the declared optimizer, for up to
200 steps and no longer than the model was. The check warns where those that start as PyTorch's
layers do better on validation data (by cross-entropy where there are classes) for each of three
seeds, at 99 % over the examples, and where a quarter of the error goes away, of cross-entropy at
least 0.05 nats or, where classes are rare, a tenth of a constant answer's; it fails where half of
it does. Else what was found is told as information.

When it misleads
----------------
A start that slows the first hundreds of steps may be made up for in long training. Pretrained
weights that a factory loads are compared as if it had drawn them: their start is better, and so
nothing is said.

What to do
----------
Leave the weights as PyTorch draws them, or scale yours by fan-in.

Source
------
Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks";
He et al. 2015, "Delving Deep into Rectifiers" (variance 2 over fan-in); Goodfellow, Bengio,
Courville 2016, "Deep Learning", section 8.4 (the start has to break the symmetry between units);
CS231n notes, "Neural Networks Part 2", weight initialisation ("pitfall: all zero initialization").
"""

import math

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.observations.initial_sizes import APART, InitialSize, InitialSizes, InitialSizesOver
from auditor.observations.mended_copies import GAIN

SIZES = InitialSizesOver()

MOST = 40
"""Places that are told one by one."""

HOW = "PyTorch's own start"
"""What mended copies have."""


@check(
    title="Weights start at a sound size",
    failure_title="Weights start at an unsound size",
    needs=(SIZES,),
    limits={"gain": GAIN},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by what copies gain that start as PyTorch's layers do."""
    found = seen[SIZES]
    odd = sorted((one for one in found.tensors if one.odd), key=_far, reverse=True)
    figures: tuple[Figure, ...] = (_table(found),)
    if not odd:
        return Judgement(
            Verdict.PASS,
            f"{counted(len(found.tensors), 'matrix or filter', 'matrices and filters')} of a fresh "
            f"model: each is within {APART:g} times the size that PyTorch's layers draw.",
            figures=figures,
        )
    verdict, metrics = Verdict.INFO, tuple[Metric, ...]()
    if found.copies.tried:
        verdict, metrics, gained = found.copies.gain(f"from {HOW}", limits["gain"])
        figures = (found.copies.figure(HOW), *figures) if metrics else figures
    else:
        gained = f"Whether it matters could not be tried: {clean_text(found.copies.why)}."
    loud = verdict is not Verdict.INFO
    return Judgement(
        verdict,
        f"{len(odd):,} of {counted(len(found.tensors), 'matrix or filter', 'matrices and filters')}"
        f" of a fresh model are far from the size that PyTorch's layers draw, first of all "
        f"`{clean_text(odd[0].name, 80)}` ({_note(odd[0])}). {gained}",
        metrics=metrics,
        where=tuple(Place("parameter", clean_text(t.name, 80), _note(t)) for t in odd[:MOST]),
        advice=_advice(odd) if loud else (),
        figures=figures,
    )


def _far(tensor: InitialSize) -> float:
    """Return by how many powers of e a deviation is off; equal values are the farthest."""
    return abs(math.log(tensor.times)) if tensor.times > 0 else math.inf


def _note(tensor: InitialSize) -> str:
    if tensor.size == 0:
        return "starts at zero"
    if tensor.deviation == 0:
        return f"all values start at {tensor.size:.3g}"
    return f"starts {tensor.times:.3g} times as large as usual, at deviation {tensor.deviation:.3g}"


def _advice(odd: list[InitialSize]) -> tuple[str, ...]:
    owner, _, last = odd[0].name.rpartition(".")
    more = f" The same goes for {len(odd) - 1:,} more." if len(odd) > 1 else ""
    return (
        step(
            f"Leave `{clean_text(odd[0].name, 80)}` as PyTorch draws it (deviation "
            f"{odd[0].usual:.3g}), or scale it by fan-in, before any training.{more}",
            snippets.initialised(owner)
            if owner and last == "weight"
            else f"torch.nn.init.kaiming_normal_({snippets.parameter(odd[0].name)})",
        ),
        "Train the model afresh: what was learnt from such a start seldom recovers.",
    )


def _table(found: InitialSizes) -> Table:
    return Table(
        title="How large weights start",
        caption="Of a fresh model, beside what each layer's own `reset_parameters()` draws. Look "
        f"for ratios beyond {APART:g} or below {1 / APART:g}.",
        columns=("parameter", "root mean square", "deviation", "PyTorch's", "ratio"),
        rows=tuple(
            (clean_text(t.name), float(t.size), float(t.deviation), float(t.usual), t.times)
            for t in found.tensors
        ),
    )
