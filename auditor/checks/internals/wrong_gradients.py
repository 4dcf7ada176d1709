"""Gradients that are not those of the loss: wrong `backward`, `detach()`, `.data`, in-place edits.

What it does
------------
Compares the gradient that autograd gives with differences of the loss itself, for some coordinates
of every parameter and of the input and along random directions, and traces what disagrees to the
module whose own backward pass is wrong.

Why it matters
--------------
With a hand-written backward, a forgotten `detach()` or an edit behind autograd's back the model
still trains, only worse, or part of it not at all, and nothing ever raises. No curve tells it from
a hard task; differences of the loss do.

How it is measured
------------------
On a copy in float64, with two examples, dropout off and batch norm in evaluation; weight decay is
the optimiser's and no part of the loss. The numerical derivative is centred,
(f(x + hd) - f(x - hd)) / 2h, with h = 1e-5 and d the root mean square of the tensor (or the
coordinate's own size, where that is larger). Each tensor is moved by the coordinates of its largest
gradients, by random ones (which find a part that has no gradient at all), and along a random
direction of all its elements at once; where a model is too costly for that, several tensors are
moved together, and halved where they disagree. The error is |a - n| / max(|a|, |n|), less what
rounding explains. The rounding of the loss is measured, and a derivative that it exceeds by less
than a thousand times is undecided, not passed. Where the two disagree, steps down to 1e-8 are tried
and what every rectifier, maximum and comparison decides is compared: a step that crosses no kink
counts alone, and what no step keeps clear of kinks is not blamed. The derivative along one
direction is compared with forward-mode differentiation as well, and taken once more in training
mode, dropout held by its seed. Where weights of the checkpoint are not finite and leave no loss, a
fresh model is taken instead.

A module is found by itself: each is run alone on the inputs it was given, innermost first, and its
derivative taken both ways. What detaches, writes or hooks in its code is seen as it runs.

When it misleads
----------------
Straight-through estimators, quantisers and spiking neurons put a surrogate in place of a derivative
that is zero: they are recognised and told, not failed. Gradient reversal and an explicit
`detach()` of part of a sum look like mistakes and may be meant; they warn, to be waived. A tensor
hook on a parameter is lost in copying and not seen. Two examples may leave some units dead and
their weights undecided. Only a module's first call is tried alone.

What to do
----------
Correct the part that is named, then hold it with `torch.autograd.gradcheck` in your tests. Freeze
with `requires_grad_(False)` what is not to be trained.

Source
------
CS231n notes, "Neural Networks Part 3", gradient checks: centred formula, relative error above 1e-2
"usually means the gradient is probably wrong", above 1e-4 "should make you feel uncomfortable", up
to 1e-4 "is usually okay for objectives with kinks", 1e-7 and less "you should be happy"; few
datapoints, float64, dropout and regularisation off. Rounding: Moré & Wild 2011, SIAM Journal on
Scientific Computing 33.
"""

import math

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import foremost, how_many
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.culprits import Culprit
from auditor.observations.gradient_check import Checked, GradientCheck, GradientCheckOver

GRADIENTS = GradientCheckOver()

HAPPY = 1e-7
"""The relative error with which CS231n is happy."""

LEAST = 1e-10
"""The smallest error that is drawn."""

MOST = 2.0
"""The largest error there is of finite numbers, that of the wrong sign."""

DECIDED = 0.5
"""Share of the tensors that have to be decided for all of them to pass."""

NUMBERS = ("relative error", "autograd", "numerical")


@check(
    title="Gradients are the derivatives of the loss",
    failure_title="Gradients are not the derivatives of the loss",
    needs=(GRADIENTS,),
    limits={
        "relative_error": Limit(
            warn=1e-4,
            fail=1e-2,
            source="CS231n: above 1e-2 the gradient is probably wrong, above 1e-4 be uncomfortable",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the worst relative error, by what the parts that cause it are."""
    answer, limit = seen[GRADIENTS], limits["relative_error"]
    if answer.raised:
        return _raised(answer)
    decided = [tensor for tensor in answer.tensors if tensor.decided]
    if not decided:
        return _nothing(answer)
    wrong = [tensor for tensor in decided if limit.verdict(tensor.error) is not Verdict.PASS]
    trained = [tensor for tensor in wrong if tensor.kind == "parameter"]
    training = answer.training
    if training is not None and training.decided and not wrong:
        trained += [training] if limit.verdict(training.error) is not Verdict.PASS else []
    guilty = _guilty(answer, trained)
    verdict = _verdict(wrong, trained, guilty, limit)
    if verdict is Verdict.PASS and len(decided) < DECIDED * len(answer.tensors):
        verdict = Verdict.INFO
    worst = max(decided, key=lambda tensor: tensor.error)
    return Judgement(
        verdict,
        _summary(answer, worst, wrong, trained, guilty),
        metrics=_metrics(answer, worst, limit),
        where=_where(wrong, trained, guilty),
        advice=_advice(wrong, trained, guilty) if wrong or trained else (),
        figures=_figures(answer.tensors, limit),
    )


def _verdict(
    wrong: list[Checked], trained: list[Checked], guilty: list[Culprit], limit: Limit
) -> Verdict:
    """Return the verdict on the trained tensors; an input's gradient alone fails nothing."""
    if not wrong and not trained:
        return Verdict.PASS
    if not trained:
        return Verdict.INFO if all(tensor.cut for tensor in wrong) else Verdict.WARN
    found = max((limit.verdict(t.error) for t in trained), key=SEVERITY.__getitem__)
    if not guilty:
        return found
    whole = any(tensor.cut for tensor in trained)
    most = max((_meant(culprit, whole) for culprit in guilty), key=SEVERITY.__getitem__)
    return min(found, most, key=SEVERITY.__getitem__)


def _meant(culprit: Culprit, whole: bool) -> Verdict:
    """Return the worst that can be said of a part: some are made as they are on purpose."""
    if culprit.kind == "surrogate" or culprit.library:
        return Verdict.INFO
    if culprit.reversal or (culprit.stopped and not whole):
        return Verdict.WARN
    return Verdict.FAIL


def _guilty(answer: GradientCheck, trained: list[Checked]) -> list[Culprit]:
    """Return the parts to blame: where trained tensors are wrong, those that they hang on."""
    needed = [culprit for culprit in answer.culprits if culprit.needed]
    return needed if trained else list(answer.culprits)


def _nothing(answer: GradientCheck) -> Judgement:
    kinks = sum(tensor.kinks for tensor in answer.tensors)
    why = "no larger than a thousand times its rounding error"
    if kinks:
        why += f", or lie on a kink ({counted(kinks, 'derivative')})"
    return Judgement(
        Verdict.NOT_APPLICABLE,
        f"With {counted(answer.examples, 'example')} all derivatives of the loss are {why}.",
    )


def _raised(answer: GradientCheck) -> Judgement:
    guilty = [culprit for culprit in answer.culprits if culprit.kind == "raises"]
    at = f" in {listed([c.shown for c in guilty], 3)}" if guilty else ""
    return Judgement(
        Verdict.FAIL,
        f"The backward pass raises{at}: {clean_text(answer.raised).rstrip('.')}.",
        where=tuple(_placed(culprit) for culprit in guilty),
        advice=_advice([], [], guilty),
    )


def _summary(
    answer: GradientCheck,
    worst: Checked,
    wrong: list[Checked],
    trained: list[Checked],
    guilty: list[Culprit],
) -> str:
    """Return what was found, by whom it is caused, and what could not be decided."""
    tensors, decided = len(answer.tensors), sum(bool(t.decided) for t in answer.tensors)
    rows = wrong or trained
    if not rows:
        lines = [
            f"In float64 the gradients of {decided:,} of {counted(tensors, 'tensor')} agree with "
            f"differences of the loss, to {max(worst.error, LEAST):.1g} at worst."
        ]
    elif wrong:
        shown = listed([f"{t.name} ({_off(t)})" for t in _by_error(rows)], 3)
        have = "has a gradient" if len(rows) == 1 else "have gradients"
        lines = [
            f"Of {counted(decided, 'tensor')} compared in float64, {len(rows):,} {have} that "
            f"differences of the loss contradict: {shown}."
        ]
    else:
        lines = [
            "In evaluation mode gradients agree with differences of the loss, in training mode "
            f"they do not: {_off(rows[0])}."
        ]
    lines += [culprit.told() for culprit in guilty[:3]]
    if wrong and not trained:
        lines.append(
            "No trainable parameter hangs on it: training is unharmed, gradients by the "
            "input (saliency, adversarial examples) are not what they seem."
        )
    if rows and not guilty:
        lines.append("No module is wrong by itself, run alone on the inputs it was given first.")
    if decided < tensors:
        open_ = [t.name for t in answer.tensors if not t.decided]
        lines.append(
            f"Undecided: {listed(open_, 3)}, whose derivatives are within rounding, on kinks or "
            "too costly to follow up."
        )
    if answer.no_training:
        lines.append(f"Training mode was not compared: {answer.no_training}.")
    grouped = max((t.group for t in answer.tensors), default=1)
    if grouped > 1:
        lines.append(f"So costly a model was tried with up to {grouped} tensors moved together.")
    if answer.fresh:
        lines.append("The checkpoint's weights are not finite: a fresh model was looked at.")
    return " ".join(lines)


def _off(tensor: Checked) -> str:
    if tensor.cut:
        return "no gradient where the loss changes"
    if tensor.numeric == 0:
        return "a gradient where the loss does not change"
    if not math.isfinite(tensor.analytic):
        return "no finite gradient where the loss changes smoothly"
    if not math.isnan(tensor.factor):
        return f"{tensor.factor:.3g} times the derivative"
    return f"relative error {tensor.error:.2g}"


def _by_error(tensors: list[Checked]) -> list[Checked]:
    return sorted(tensors, key=lambda tensor: (tensor.kind == "input", -tensor.error))


def _placed(culprit: Culprit) -> Place:
    note = culprit.kind if not culprit.signs else f"{culprit.kind}: {culprit.signs[0].shown}"
    if culprit.part == "loss":
        return Place("setting", "loss", note)
    return Place("layer", culprit.module or culprit.type, note)


def _where(
    wrong: list[Checked], trained: list[Checked], guilty: list[Culprit]
) -> tuple[Place, ...]:
    """Return the guilty parts, then the tensors whose gradients are wrong."""
    tensors = (
        Place("parameter" if tensor.kind == "parameter" else "layer", tensor.name, _off(tensor))
        for tensor in _by_error(wrong)
    )
    return (*(_placed(culprit) for culprit in guilty), *tensors)


def _advice(wrong: list[Checked], trained: list[Checked], guilty: list[Culprit]) -> tuple[str, ...]:
    """Return what to change, by what was seen in each guilty part."""
    whole = [tensor.name for tensor in trained if tensor.cut]
    worst = [_meant(culprit, bool(whole)) for culprit in guilty]
    lines = []
    for culprit, meant in zip(guilty, worst, strict=True):
        if meant is Verdict.INFO:
            lines.append(
                f"Leave {culprit.shown} as it is, if it is meant to give a gradient that is not "
                "its derivative."
            )
            continue
        lines += [culprit.cure(sign) for sign in culprit.signs[:2]]
        if not culprit.signs:
            lines.append(
                f"Look through `forward` of {culprit.shown} for what leaves autograd: `detach`, "
                "`.data`, `no_grad`, `numpy`, an in-place edit, a hook, a custom `backward`."
            )
    if whole:
        lines.append(
            step(
                "If that is on purpose, freeze what is not to be trained:",
                snippets.frozen(whole),
            )
        )
    if (wrong or trained) and not guilty:
        lines.append(
            step(
                "Take the model apart: put `gradcheck` around each custom function, here one named "
                "`Custom`, and look for hooks and for state that one module leaves to another.",
                "x = torch.randn(4, dtype=torch.float64, requires_grad=True)\n"
                "assert torch.autograd.gradcheck(Custom.apply, x)",
            )
        )
    if Verdict.WARN in worst:
        lines.append(
            step(
                "If it is meant (gradient reversal, a stopped gradient), waive it in the spec:",
                "audit:\n  waive:\n    - {check: wrong-gradients, reason: stopped on purpose}",
                language="yaml",
            )
        )
    lines.append(
        "Audit again with `--only wrong-gradients`: a part hides the mistakes of those around it."
    )
    return tuple(dict.fromkeys(lines))


def _metrics(answer: GradientCheck, worst: Checked, limit: Limit) -> tuple[Metric, ...]:
    probes = sum(tensor.probes for tensor in answer.tensors)
    decided = sum(tensor.decided for tensor in answer.tensors)
    training = answer.training
    found = [
        Metric("worst relative error", worst.error, limit=limit),
        Metric("derivatives decided", decided),
        Metric("derivatives tried", probes),
        Metric("rounding error of the loss", answer.noise),
    ]
    if training is not None and training.decided:
        found.append(Metric("relative error in training mode", training.error, limit=limit))
    if not math.isnan(answer.forward):
        found.append(Metric("forward against reverse mode", answer.forward))
    return tuple(found)


def _figures(tensors: tuple[Checked, ...], limit: Limit) -> tuple[Figure, ...]:
    """Return the errors as bars, and everything as a table."""
    decided = [tensor for tensor in tensors if tensor.decided]
    places = foremost([tensor.error for tensor in decided])
    shown = [decided[place] for place in places]
    bars = Bars(
        title="Relative error of each gradient",
        caption="Autograd against differences of the loss, the worst of each tensor; "
        f"what is less than {LEAST:g} is drawn as that."
        + how_many(len(shown), len(decided), "tensors"),
        label="|a - n| / max(|a|, |n|)",
        labels=tuple(tensor.name for tensor in shown),
        values=tuple(min(max(tensor.error, LEAST), MOST) for tensor in shown),
        marked=tuple(limit.verdict(tensor.error) is not Verdict.PASS for tensor in shown),
        guides=(Guide(HAPPY, "happy"), *limit.guides()),
        log=True,
    )
    table = Table(
        title="Gradients by tensor",
        caption="Coordinates and a random direction of each tensor were tried; the numbers are "
        "those of the worst that could be decided.",
        columns=("tensor", "elements", "tried", "decided", "on kinks", *NUMBERS),
        rows=tuple(_row(tensor) for tensor in tensors),
    )
    return (bars, table)


def _row(tensor: Checked) -> tuple[str | int | float | None, ...]:
    known = tensor.decided > 0
    numbers = (tensor.error, tensor.analytic, tensor.numeric) if known else (None, None, None)
    return (tensor.name, tensor.elements, tensor.probes, tensor.decided, tensor.kinks, *numbers)
