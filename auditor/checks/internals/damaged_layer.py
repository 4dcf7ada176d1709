"""A layer that does not fit the others (not loaded, transposed, noisy), or a foreign checkpoint.

What it does
------------
Where the checkpoint does badly on the data that it was trained on, trains each layer of a copy
anew, all others as they are, for some steps, and tells whether one of them alone brings the model
back.

Why it matters
--------------
A layer whose name did not match the checkpoint's keeps its first weights, with a warning that
nobody reads; a conversion may transpose a weight or reorder its units, and a file be damaged. The
model then fails as a whole, though all other layers are as good as ever, and to train it all anew
throws them away.

How it is measured
------------------
Nothing is trained where the loss is below half of that of the best constant answer. Else half of
the examples, of training data where there is any, teach and the others judge. In each copy one
layer starts from a fresh model's weights and takes some steps of Adam, in evaluation mode. A new
model takes as many steps as a whole. A layer is to blame where it alone brings the loss below half
of what it is, of what new batch-norm statistics make of it, and of a constant answer's. The check
fails where that is below 0.7 of the new model's too, so that the other layers must know the data;
it warns where it is merely below the new model's, no other layer does as well and it is not the
first, which learns well below any others. All is beyond doubt at 99 %, shared out over the layers.
Layers that do as well as the best, as far as can be told, are named too: units in another order can
be undone by the layer behind them. It warns as well where no layer is to blame and the loss is more
than 1.1 times that of a constant answer, surely above it and above the new model's: training on
this data does not end there.

Where the loss is at least a quarter of the constant's, the gates of recurrent layers are put in
every other order first, and nothing is trained. The check fails where one chosen on half of the
examples leaves less than 0.7 of the loss, and of a constant answer's, on the others: weights that
know nothing of the data know as little in any order.

When it misleads
----------------
A checkpoint of a related task, with another head, is one whose head does not fit. A small model
learns from a few steps whatever its layers know; then the new model does as well, and nothing is
said. Where two layers are damaged, neither alone brings the model back.

What to do
----------
Compare the layer with the checkpoint it came from, name by name and value by value; see what
`load_state_dict` says of missing and unexpected keys. If there is none, train that layer alone.

Source
------
Yosinski, Clune, Bengio & Lipson 2014, "How transferable are features in deep neural networks?"
(layers trained anew beside kept ones); Zhang, Bengio & Singer 2022, "Are All Layers Created Equal?"
(putting single layers back to what they were at the start).
"""

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import quoted, step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval, paired_bootstrap, paired_ratio
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.gate_orders import GATES, GateOrders, GateOrdersOver, mends
from auditor.observations.layer_blame import knows, to_blame, worse_than_nothing
from auditor.observations.layer_repair import BAD, LayerRepairs, LayerRepairsOver

REPAIRS = LayerRepairsOver()
ORDERS = GateOrdersOver()

FEWEST = 20
"""Examples below which nothing is said of a difference."""

SHOWN = 40

WHOLE = Place("setting", "model.checkpoint", "worse than a constant answer")


@check(
    title="No single layer holds the others back",
    failure_title="A layer does not fit the others",
    needs=(REPAIRS,),
    wants=(ORDERS,),
    limits={
        "left": Limit(
            warn=0.5,
            bad="below",
            source="share of the loss that is left when one layer is trained anew; of healthy "
            "models measured none is bad enough to be tried",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by what the best single layer, trained anew, makes of the loss."""
    told = seen[REPAIRS]
    if len(told.before) < FEWEST:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{FEWEST} examples are needed to judge by, {len(told.before)} were there.",
        )
    before = float(np.mean(told.before))
    where = "training" if told.split == "train" else "validation"
    metrics = [Metric(f"{where} loss as it is", before, "", *mean_interval(told.before))]
    orders = seen.get(ORDERS)
    if orders is not None and mends(orders, seen.rng):
        return _gates(orders, metrics[0], seen.rng)
    if not told.layers and not told.constant > 0:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The best constant answer has a loss of {told.constant:.4g}, of which a model's can't "
            "be a share.",
        )
    if not told.layers:
        return Judgement(
            Verdict.PASS,
            f"On {where} data the loss, {before:.4g}, is {before / told.constant:.0%} of that "
            f"of the best constant answer: below {BAD:.0%} no layer can be badly out of place.",
            metrics=tuple(metrics),
        )
    after = told.after.mean(axis=1)
    best = int(np.argmin(after))
    for name, short, losses in (
        (f"{where} loss with {told.layers[best]} trained anew", "training it anew",
         told.after[best]),
        (f"{where} loss of a new model", "a new model", told.fresh),
    ):  # fmt: skip
        if not np.isfinite(losses).all():
            continue
        gain = paired_bootstrap(told.before, losses, seen.rng)
        metrics += [
            Metric(name, float(np.mean(losses)), "", *mean_interval(losses)),
            Metric(f"gain by {short}", before - float(np.mean(losses)), "", *gain),
        ]
    bound = limits["left"].warn or 0.0
    mended = (
        f"training `{told.layers[best]}` anew for {told.steps} steps, all other layers as they "
        f"are, brings the loss on {counted(len(told.before), 'example')} that it did not learn "
        f"from from {before:.4g} to {after[best]:.4g}; a new model gets to "
        f"{np.mean(told.fresh):.4g} in as many steps"
    )
    figures = _figures(told, after)
    alike = to_blame(told, bound, seen.rng)
    if alike:
        metrics += _left(told, alike[0], limits["left"])
        return _blamed(told, alike, after, mended, tuple(metrics), figures, seen.rng)
    if worse_than_nothing(told, seen.rng):
        return Judgement(
            Verdict.WARN,
            f"On {where} data the checkpoint does worse (loss {before:.4g}) than a constant "
            f"answer ({told.constant:.4g}), and no single layer is to blame: {mended}. So it was "
            "trained for something else, or several layers are damaged, or its training ended in "
            "ruin.",
            metrics=tuple(metrics),
            where=(WHOLE,),
            advice=(
                step(
                    "Load the checkpoint that was meant: compare its file, its date and its "
                    "SHA-256 with those of the run, and that all of it arrives. Where there is "
                    f"none, train a new model: it is better after {told.steps} steps.",
                    probes.STRICT,
                ),
                "See how the loss went in training: where it ended below that of a constant "
                f"answer ({told.constant:.4g}), these are not the weights of that run, or not its "
                "data.",
            ),
            figures=figures,
        )
    return Judgement(
        Verdict.INFO,
        f"The loss is bad ({before:.4g}, the best constant answer has {told.constant:.4g}), and no "
        f"single layer is to blame: {mended}.",
        metrics=tuple(metrics),
        figures=figures,
    )


def _gates(told: GateOrders, as_it_is: Metric, rng: np.random.Generator) -> Judgement:
    """Name the layers whose gates stand in another order than torch reads them in."""
    before, after = float(np.mean(told.before)), float(np.mean(told.after))
    where = "training" if told.split == "train" else "validation"
    names = GATES[len(told.order)]
    # Block order[i] came to place i, so that it holds what place i means.
    stood = sorted(range(len(names)), key=lambda place: told.order[place])
    layers = listed([f"`{name}`" for name in told.layers], 3)
    blocks = ", ".join(map(str, told.order))
    spans = [mean_interval(losses) for losses in (told.before, told.after)]
    return Judgement(
        Verdict.FAIL,
        f"With the gates of {layers} in another order, "
        f"and nothing trained, the loss on {counted(len(told.after), 'example')} of {where} data "
        f"that did not choose the order goes from {before:.4g} to {after:.4g} (the best constant "
        f"answer has {told.constant:.4g}): the weights hold the gates as "
        f"{listed([names[i] for i in stood], 4)}, where torch reads {listed(list(names), 4)}.",
        metrics=(
            as_it_is,
            Metric(f"{where} loss with gates in order {blocks}", after, "",
                   *mean_interval(told.after)),
            Metric("gain by that order", before - after, "",
                   *paired_bootstrap(told.before, told.after, rng)),
        ),
        where=tuple(Place("layer", name, "its gates stand in another order")
                    for name in told.layers),
        advice=(
            step(
                f"Put the gates of {layers} in torch's order, in each weight and bias, and save:",
                f"for name in [{', '.join(map(quoted, told.layers[:8]))}]:\n"
                "    for p in model.get_submodule(name).parameters():\n"
                f"        p.data = torch.cat([p.data.chunk({len(names)})[i] for i in ({blocks})])\n"
                'torch.save(model.state_dict(), "mended.pt")',
            ),
            "Mend the conversion that wrote this checkpoint: frameworks keep gates in orders of "
            "their own. Compare the outputs of both on the same input.",
        ),
        figures=(
            Bars(
                "Loss with the gates in another order",
                f"On {where} examples that did not choose the order, nothing trained; the bracket "
                "is the 95 % interval.",
                "loss",
                ("as it is", f"in order {blocks}"),
                (before, after),
                tuple(low for low, _ in spans),
                tuple(high for _, high in spans),
                marked=(True, False),
                guides=(Guide(told.constant, "best constant answer"),),
            ),
        ),
    )  # fmt: skip


def _blamed(
    told: LayerRepairs,
    alike: list[int],
    after: Array,
    mended: str,
    metrics: tuple[Metric, ...],
    figures: tuple[Figure, ...],
    rng: np.random.Generator,
) -> Judgement:
    """Name the layers that bring the model back, the best first."""
    names = [told.layers[i] for i in alike]
    several = (
        f" {listed(names[1:], 3)} may do so as well: it is one of these, or the border between "
        "them."
        if len(names) > 1
        else ""
    )
    first = names[0]
    sure = knows(told, alike[0], rng)
    return Judgement(
        Verdict.FAIL if sure else Verdict.WARN,
        f"{mended[0].upper()}{mended[1:]}.{several}",
        metrics=metrics,
        where=(
            *(
                Place("layer", told.layers[i], f"loss {after[i]:.3g} when trained anew")
                for i in alike
            ),
            *(() if sure or not worse_than_nothing(told, rng) else (WHOLE,)),
        ),
        advice=(
            step(
                f"Load a sound copy of `{first}`. Where there is none, train it alone for a few "
                "epochs:",
                snippets.trained_alone(first),
            ),
            step("Look at what loading says:", probes.STRICT),
            f"Compare `{first}` with the file it came from, value by value, and with an earlier "
            "checkpoint: its axes, and the order of its units or gates, if it was converted.",
        ),
        figures=figures,
    )


def _left(told: LayerRepairs, layer: int, limit: Limit) -> list[Metric]:
    """Return the share of the loss that is left; none where it is not finite as it is."""
    if not np.isfinite(told.before).all():
        return []
    left = paired_ratio(told.after[layer], told.before)
    share = float(np.mean(told.after[layer]) / np.mean(told.before))
    name = f"loss left, {told.layers[layer]} trained anew"
    return [Metric(name, share, "share", *left, limit)]


def _figures(told: LayerRepairs, after: Array) -> tuple[Figure, ...]:
    known = [i for i in range(len(told.layers)) if np.isfinite(after[i])]
    shown = sorted(known, key=lambda i: after[i])[:SHOWN]
    return (
        Bars(
            "Loss with one layer trained anew",
            f"Each bar is a copy in which one layer was trained anew for {told.steps} steps, the "
            "best first; the lines are the checkpoint and a new model.",
            "loss",
            tuple(told.layers[i] for i in shown),
            tuple(float(after[i]) for i in shown),
            guides=(
                Guide(float(np.mean(told.before)), "as it is"),
                Guide(float(np.mean(told.fresh)), "a new model"),
            ),
        ),
    )
