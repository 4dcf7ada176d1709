"""Sequence models whose outputs depend on the inputs they are to predict.

What it does
------------
Where the target at each step is the input at the next, replaces all inputs after a step and looks
at the outputs up to it, which must not move.

Why it matters
--------------
A model that reads the next word need not predict it. Its loss falls far below what is possible, in
validation too, and it is of no use when there is no next word to read.

How it is measured
------------------
Targets count as causal where for nine positions in ten they are the inputs some steps later; or
where they are the inputs themselves, as where the loss moves them, and the model's answers are
nearer to the next input than to the same, by more than three deviations. A private copy runs in
evaluation mode, in double precision where it can, from the same random numbers each time. Inputs
after each of five steps are replaced by others that occur in the data; the outputs up to that step
may move by rounding alone (a billionth of the largest output, in single precision a
ten-thousandth). The module is named whose inputs move only after the step and whose outputs move
before it too. Then single inputs are replaced, which shows how far it looks ahead, and back.

When it misleads
----------------
Tasks in which whole sequences may be read (tagging, translation of a whole sentence, restoring
inputs) are told apart by their targets; where each step has a target of another kind, what was seen
is told and not judged. Evaluation mode alone is looked at. A mask that is missing but makes no
difference to these outputs is not blamed.

What to do
----------
The usual reasons are attention without its mask, a mask that is one off or upside down, a
bidirectional recurrent layer, a convolution padded on both sides, and a mean or a normalisation
over time. Give the module named its mask, or its padding on the left alone, and train anew: weights
that learned to copy the next input are worth nothing without it.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" ("use backprop to chart dependencies");
Vaswani et al. 2017, "Attention Is All You Need", section 3.2.3; van den Oord et al. 2016,
"WaveNet", section 2.1 (causal convolutions).
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Guide, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric
from auditor.core.layer import MODEL
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.observations.culprit import Culprit
from auditor.observations.future_use import FutureUse, FutureUseOver

FUTURE = FutureUseOver()

FEELS = 0.01
"""Share of the greatest influence from which on an earlier input counts as made use of."""


@check(
    title="No output depends on later inputs",
    failure_title="Outputs depend on later inputs",
    needs=(FUTURE,),
    limits={
        "ahead": Limit(
            fail=0.0,
            source="share of the largest output, beyond rounding: an output that moves with later "
            "inputs is no prediction of them",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far outputs move when only later inputs are replaced."""
    use = seen[FUTURE]
    most = float(np.max(use.ahead))
    beyond = most if most > use.tolerance else 0.0
    judged = use.relation != "none"
    metrics = (
        Metric(
            "largest move of an output by later inputs",
            beyond,
            "of the largest output",
            limit=limits["ahead"] if judged else None,
        ),
        Metric("outputs that move with later inputs", use.touched, "share"),
    )
    figures = (_figure(use),) if len(use.offsets) > 1 else ()
    why = {
        "next": f"The target at a step is the input {counted(use.shift, 'step')} later "
        f"({100 * use.matched:.3g} % of positions).",
        "inside": "The targets are the inputs themselves, and the model predicts the next one.",
        "none": "",
    }[use.relation]
    tried = (
        f"All inputs after a step were replaced, for {counted(len(use.places), 'step')} of "
        f"{use.steps} in {counted(use.examples, 'sequence')}"
    )
    if not beyond:
        calm = f"{tried}: no output up to it moves beyond rounding ({use.tolerance:g})."
        if not judged:
            return Judgement(Verdict.INFO, calm + _not_judged(use), metrics, figures=figures)
        return Judgement(Verdict.PASS, f"{why} {calm}{_context(use)}", metrics, figures=figures)
    first = f", first in {use.culprit.shown}" if use.culprit else ""
    loud = (
        f"{tried}: {100 * use.touched:.3g} % of the outputs up to it move, by up to {most:.2g} of "
        f"the largest{first}.{_reach(use)}"
    )
    if not judged:
        return Judgement(Verdict.INFO, loud + _not_judged(use), metrics, figures=figures)
    return Judgement(
        limits["ahead"].verdict(beyond),
        f"{why} {loud}",
        metrics=metrics,
        where=(use.culprit.place("lets later steps through"),) if use.culprit else (),
        advice=_advice(use, use.culprit),
        figures=figures,
    )


def _not_judged(use: FutureUse) -> str:
    return (
        " The targets are not the inputs of later steps, so that is not judged: if the model is "
        "meant to be causal, as in forecasting, its outputs should depend on no later input."
    )


def _reach(use: FutureUse) -> str:
    """Say how many steps ahead an input still makes a difference."""
    later = [
        (offset, moved)
        for offset, moved in zip(use.offsets, use.influence, strict=True)
        if offset > 0
    ]
    felt = [offset for offset, moved in later if moved > use.tolerance]
    if not felt:
        return ""
    if len(felt) == len(later) and len(later) > 1:
        return f" It looks ahead as far as was tried, {counted(max(felt), 'step')}."
    return f" It looks ahead by up to {counted(max(felt), 'step')}."


def _context(use: FutureUse) -> str:
    """Say how far back an output makes use of its inputs."""
    influence = np.asarray(use.influence, float)
    greatest = float(influence.max(initial=0.0))
    if greatest <= use.tolerance or len(use.offsets) < 2:
        return ""
    felt = [
        -offset
        for offset, moved in zip(use.offsets, influence, strict=True)
        if offset <= 0 and moved > FEELS * greatest
    ]
    if not felt:
        return ""
    tried = -min(use.offsets)
    return (
        f" Looking back, inputs up to {counted(max(felt), 'step')} before the last output move it "
        f"by more than a hundredth of what the nearest do ({tried:,} were tried)."
    )


def _advice(use: FutureUse, culprit: Culprit | None) -> tuple[str, ...]:
    kind = culprit.kind if culprit else ""
    name = clean_text(culprit.layer) if culprit else ""
    if any(word in kind for word in ("LSTM", "GRU", "RNN")):
        first = (
            f"`{name}` reads the sequence from both ends: build it with `bidirectional=False`, and "
            "halve the width that the next layer takes."
        )
    elif "Conv" in kind:
        first = step(
            f"Pad `{name}` on the left alone: build it with `padding=0`, and pad before it in "
            "`forward`:",
            "left = (conv.kernel_size[0] - 1) * conv.dilation[0]\n"
            "x = conv(torch.nn.functional.pad(x, (left, 0)))",
        )
    elif "Norm" in kind or "Pool" in kind:
        first = (
            f"`{name}` ({clean_text(kind, 60)}) takes its statistics over time too: normalise the "
            "features of each step alone, as `nn.LayerNorm(features)` on (batch, time, features)."
        )
    elif "ttention" in kind or "Transformer" in kind:
        first = step(
            f"Give `{name}` its mask as `attn_mask`, or `is_causal=True` to "
            "`scaled_dot_product_attention`. Where there is one, print it: in torch True, or minus "
            "infinity, forbids, and the diagonal is allowed.",
            "mask = torch.nn.Transformer.generate_square_subsequent_mask(steps)\n"
            "out, _ = attention(x, x, x, attn_mask=mask)",
        )
    elif culprit is not None and not culprit.inner and culprit.layer != MODEL:
        first = (
            f"`{name}` ({clean_text(kind, 60)}) works over the dimension of time, so that each "
            "step takes from all: give it the features of one step, or let nothing through from "
            "later ones (weights below the diagonal alone)."
        )
    elif culprit is not None:
        owner = "the model's `forward`" if culprit.layer == MODEL else f"`{name}`'s `forward`"
        first = (
            f"Read {owner} for what joins the steps: attention scores that need "
            "`torch.triu(..., diagonal=1)` filled with minus infinity before the softmax, or "
            "`is_causal=True` in `scaled_dot_product_attention`; a mean, sum, `flip` "
            "or `softmax` over the dimension of time, a shift the wrong way, a padding "
            "on both sides."
        )
    else:
        first = "Compare what each module puts out for two sequences that differ at the end only."
    return (
        first,
        step(
            "Prove it mended: change the last input of a sequence and see that all outputs before "
            "it stay what they were, here with examples and steps as the first two dimensions.",
            "x = next(iter(val_loader))[0]\n"
            "changed = x.clone()\n"
            "changed[:, -1] = x[:, 0]\n"
            "with torch.no_grad():\n"
            "    before, after = model.eval()(x), model(changed)\n"
            "assert torch.allclose(before[:, :-1], after[:, :-1])",
        ),
        "Train anew from fresh weights, and expect a higher loss: the one measured so far was read "
        "off the answers.",
    )


def _figure(use: FutureUse) -> Lines:
    return Lines(
        title="Which inputs move an output",
        caption="How far an output moves when one input is replaced, by how many steps that input "
        "comes after it; to the right of 0 nothing should move"
        + ("." if use.relation != "none" else ", were the model causal."),
        x_label="steps from the output to the input (past below 0, future above)",
        y_label="change, of the largest output",
        series=(
            Series(
                "influence",
                tuple(float(offset) for offset in use.offsets),
                tuple(float(min(moved, 1e6)) for moved in use.influence),
            ),
        ),
        guides=(Guide(0.0, "no influence"),),
    )
