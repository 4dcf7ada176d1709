"""A softmax applied twice, a sum for a mean, the wrong loss for these targets.

What it does
------------
Reads off the numbers what the task is and what the outputs are, whatever the loss and the layers
are called, and looks for contradictions between the three. Where it finds one it tries the cure.

Why it matters
--------------
Nothing crashes when probabilities go into a loss that wants logits, when a softmax stands over one
unit, or when a column is set against a row: the loss goes down a little and stays there. These are
among the most frequent bugs of networks that "don't learn".

How it is measured
------------------
Targets are classes where they are whole numbers beside one output for each; exclusive classes where
every row holds exactly one 1, several labels where some rows hold more; whole numbers may be the
indices of classes where none of them is rare. Fewer than 44 rows leave room for one in ten of
another kind, at 99 %, and then they are not called exclusive, or two classes. Outputs are
probabilities where all rows lie within 0 to 1 and sum to one, and log-probabilities where their
exponentials do. A binary cross-entropy wants targets of 0 to 1: beyond, more is always to be had
from larger logits.

What bounds hold the outputs is tried on copies, of the checkpoint and of a fresh model, whose every
weight tensor is multiplied by ±3, ±30 or ±300: an activation at the end piles their outputs up at
its bounds, and none goes beyond; the outputs of a regression are asked one by one, too. The loss of
2k examples is divided by that of its halves: 1 for a mean, 2 for a sum. Where a part of it is a
sum, what it grows by doubles from one doubling of the batch to the next. Where outputs and targets
have shapes that broadcast, the targets are handed round among the examples: a loss that stays what
it is sets every output against every target.

A loss of your own is recognised as one of torch's where it has its value on every batch. It takes a
softmax where a constant added to all outputs of an example leaves it alone, a sigmoid where outputs
beyond 0 and 1 still pay, and it leaves out a label whose outputs do not matter to it. It is asked,
too, what an answer costs that is sure and wrong: chances of 0 and 1, or logits 200 apart.

Of a loss of your own over classes the slope by each score is taken where all scores are alike: it
has to look at every class that targets hold, and in nine of ten rows the row's own class must not
raise it more than all do on average (with 99 % confidence; of sequences the class of the step
before or after may be meant). Where a wrong class leads by far, a slope of less than a thousandth
of that is warned of.

For the cure, two fresh models from one seed are trained on the same batches, by the loss as it is
and by the cured one. Where the cure is to remove the activation that ends the model, the loss is
given what went into it; class weights and the like stay what they are.

When it misleads
----------------
Some choices found here are made on purpose: a sum instead of a mean, binary cross-entropy over
exclusive classes (Beyer et al. 2020 and Wightman et al. 2021 gain from it), squared error over
classes (Hui & Belkin 2021). They are warned of, never failed. Whether whole numbers are classes,
grades or counts can't be known for certain. A softmax over more than a hundred labels may be meant
to rank them (Liang et al. 2018), and is warned of. A loss of your own that is like none of torch's,
and takes neither softmax nor sigmoid, is asked only for its reduction, its pairing and, of classes,
its slopes. Losses that stand wrong labels, and distances of ordered classes, have no slope at sure
and wrong answers on purpose. Where none of the checkpoint's outputs is finite, a fresh model is
asked in its place, which can't show what training has made of it.

What to do
----------
Give each loss what it wants: logits to `cross_entropy` and `binary_cross_entropy_with_logits`,
log-probabilities to `nll_loss`, probabilities to `binary_cross_entropy`, a linear last layer to a
regression, one shape to outputs and targets.

Source
------
PyTorch documentation of the losses; Humbatova et al. 2020, "Taxonomy of Real Faults in Deep
Learning Systems" (wrong loss, missing or redundant softmax); Islam et al. 2019, "A Comprehensive
Study on Deep Learning Bug Characteristics"; Karpathy 2018, "most common neural net mistakes" (4:
softmaxed outputs to a loss that expects raw logits).
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Histogram, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import clopper_pearson, examples_to_settle, paired_bootstrap
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.loss_batch import growth
from auditor.observations.loss_code import advised
from auditor.observations.loss_cure import LossCure, LossCureFrom
from auditor.observations.loss_fit import CLASS_LOSSES, NUMBER_LOSSES, Misfit, Rows, rows_of
from auditor.observations.loss_misfits import misfits
from auditor.observations.loss_probe import SIGMOID, SOFTMAX, LossProbe, LossProbeOver
from auditor.observations.loss_task import CONFIDENCE, ENOUGH
from auditor.observations.predictions import Predictions, PredictionsOver

PROBE = LossProbeOver()
PREDICTIONS = PredictionsOver()
CURE = LossCureFrom()

BINS = 40

MOST = 0.5
"""Share of targets left out from which it is said, though it may be meant."""


@check(
    title="The loss fits the task",
    failure_title="The loss does not fit the task",
    needs=(PROBE,),
    wants=(PREDICTIONS, CURE),
    limits={
        "ignored": Limit(
            warn=0.9,
            fail=0.95,
            source="masked language models leave out 85 % of their targets on purpose (Devlin et "
            "al. 2019); at 95 % twenty epochs teach what one could",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether loss, outputs and targets fit together."""
    probe, predictions, cure = seen[PROBE], seen.get(PREDICTIONS), seen.get(CURE)
    rows = _rows(probe, predictions)
    hidden, share = _ignored(probe, predictions, limits["ignored"])
    found = sorted((*misfits(probe, rows), *hidden), key=lambda one: not one.severe)
    read = len(rows.outputs) > 1 and bool(np.isfinite(rows.outputs).any())
    rate, _, _ = growth(probe)
    if not found and not read and not math.isfinite(rate):
        return Judgement(Verdict.NOT_APPLICABLE, _unread(probe, rows))
    metrics = [Metric("loss of 2k examples over that of k", 2**rate)] if rate == rate else []
    if share is not None:
        metrics.append(share)
    figures = _figures(probe, rows)
    if not found:
        doubts = _doubts(probe, rows, share, limits["ignored"]) if read else []
        summary = " ".join((_fits(probe, rows, read), *_of_whom(probe), *doubts))
        verdict = Verdict.INFO if doubts else Verdict.PASS
        return Judgement(verdict, summary, metrics=tuple(metrics), figures=figures)
    said = [one.evidence for one in found]
    if cure is not None and any(one.kind == cure.kind for one in found):
        told, scores = _cure(cure, seen.rng)
        said.append(told)
        metrics += scores
        figures = (*_race(cure), *figures)
    elif seen.missing(CURE) and any(one.cure for one in found) and cure is None:
        said.append(f"What the cure would do was not tried: {seen.missing(CURE)}.")
    return Judgement(
        Verdict.FAIL if found[0].severe else Verdict.WARN,
        " ".join((*said, *_of_whom(probe))),
        metrics=tuple(metrics),
        where=tuple(_place(one, probe.end) for one in found),
        advice=tuple(dict.fromkeys(advised(one, probe.loss, probe.end) for one in found)),
        figures=figures,
    )


def _of_whom(probe: LossProbe) -> tuple[str, ...]:
    """Return whose outputs were looked at where they are not the checkpoint's."""
    if not probe.fresh:
        return ()
    return (
        "None of the checkpoint's outputs is a finite number, so a fresh model was asked instead.",
    )


def _unread(probe: LossProbe, rows: Rows) -> str:
    """Return why nothing can be said."""
    if len(rows.outputs) > 1:
        return "None of the model's outputs is a finite number, so they fit no loss."
    if not len(probe.whole):
        return (
            "Outputs and targets can't be set side by side, and batches of one example do not show "
            "how the loss averages."
        )
    return (
        "Outputs and targets can't be set side by side, and the loss is not a finite number, or "
        "is 0, on some batch."
    )


def _rows(probe: LossProbe, predictions: Predictions | None) -> Rows:
    """Return the rows of the whole validation split where they are read as the probe's are."""
    known = predictions is not None and not probe.fresh and _knows(predictions, probe)
    if predictions is not None and known and np.ndim(probe.outputs) == 2:
        alike = predictions.outputs.shape[1:] == probe.outputs.shape[1:]
        if alike and (predictions.kind == "classes") == probe.classes and predictions.rows:
            return rows_of(probe, predictions.outputs, predictions.targets)
    return rows_of(probe)


def _knows(predictions: Predictions, probe: LossProbe) -> bool:
    """Tell whether predictions leave out what the loss does: one's own does not say it."""
    return predictions.ignored > 0 or not probe.ignored


def _ignored(
    probe: LossProbe, predictions: Predictions | None, limit: Limit
) -> tuple[list[Misfit], Metric | None]:
    """Return what is wrong with the targets that the loss leaves out, and their share."""
    ignored, counted_in, examples = probe.ignored, probe.counted, probe.examples
    if predictions is not None and predictions.kind == "classes" and _knows(predictions, probe):
        ignored, counted_in = predictions.ignored, predictions.rows_seen
        examples = predictions.examples
    total = ignored + counted_in
    if not probe.classes or not ignored:
        return [], None
    share = ignored / total
    low, high = clopper_pearson(ignored, total, CONFIDENCE)
    verdict = limit.verdict(share, low, high)
    metric = Metric("targets left out", share, "", *clopper_pearson(ignored, total), limit)
    label = probe.ignored_label
    found = []
    certain = limit.warn is None or low > limit.warn
    if verdict is not Verdict.PASS and certain:
        found.append(
            Misfit(
                "ignored",
                verdict is Verdict.FAIL,
                f"The loss leaves out {ignored:,} of {total:,} targets ({share:.1%}): "
                f"{_left_out(probe)}.",
                f"Look why so many targets are {label} (`ignore_index`): padding that could be cut "
                "by grouping examples of like length, a mask that is inverted, or a class that "
                "has the ignored index.",
                "loss",
                f"ignore_index={label} hides {share:.0%}",
            )
        )
    if total == examples and probe.width and 0 <= label < probe.width:
        found.append(
            Misfit(
                "ignored class",
                False,
                f"Class {label} is left out of the loss (`ignore_index={label}`), though the model "
                f"has an output for it and {ignored:,} of {total:,} examples ({share:.1%}) are of "
                "that class: it is never learnt.",
                f"Set `ignore_index` to a label that no class has (torch's own is -100), or drop "
                f"class {label} from the data and from the outputs.",
                "loss",
                f"ignore_index={label} is a class",
            )
        )
    return found, metric


def _place(one: Misfit, end: str) -> Place:
    """Return where a misfit is; what the model ends in, by the module that it is."""
    if one.place == "model.factory" and end:
        return Place("layer", clean_text(end), one.note)
    return Place("setting", one.place, one.note)


def _fits(probe: LossProbe, rows: Rows, read: bool) -> str:
    """Return what was looked at where nothing was found."""
    names = [name for name in probe.acts_like if name]
    rate, _, _ = growth(probe)
    reduction = "the mean over its batch" if abs(rate) < 0.1 else "no plain sum over its batch"
    loss = f"The loss, `{probe.loss}`,"
    if not math.isfinite(rate):
        reduction = "given one example at a time, so how it averages is not known"
    if not read or not names:
        why = "is like none of torch's" if read else "has outputs or targets that can't be read"
        return (
            f"{loss} {why}, so only its reduction and its pairing were looked at: it is "
            f"{reduction}, and does not mix up its examples."
        )
    own = "" if names == [probe.loss] else f" {_likeness(names)} and"
    return (
        f"{loss}{own} fits the outputs and targets of {counted(len(rows.outputs), 'row')}: "
        f"{rows.task.words}. It is {reduction}."
    )


def _likeness(names: list[str]) -> str:
    """Return in words what the terms of a loss act like."""
    alike = [name for name in dict.fromkeys(names) if name not in (SOFTMAX, SIGMOID)]
    takes = [f"takes a {name} itself" for name in (SOFTMAX, SIGMOID) if name in names]
    acts = [f"acts as `{'` and `'.join(alike)}`"] if alike else []
    return " and ".join((*acts, *takes))


def _doubts(probe: LossProbe, rows: Rows, share: Metric | None, limit: Limit) -> list[str]:
    """Return what can't be decided, and what would decide it."""
    task, count, names = rows.task, len(rows.outputs), set(probe.acts_like)
    said = []
    if share is not None and share.value is not None and share.value > MOST:
        said.append(f"It leaves out {share.value:.1%} of all targets, {_left_out(probe)}.")
        if share.high is not None and limit.warn is not None and share.high > limit.warn:
            needed = examples_to_settle(
                probe.counted + probe.ignored, share.value, share.low or 0.0, share.high, limit.warn
            )
            more = f"; {needed:,} targets would settle it" if needed else ""
            said.append(f"Whether that is more than {limit.warn:.0%} is not certain{more}.")
    asked = task.truth == "exclusive" and not names & {*CLASS_LOSSES}
    asked = asked or (task.truth == "binary" and bool(names & {*NUMBER_LOSSES}))
    if asked and task.sure == "likely":
        said.append(f"So few do not tell whether these are classes: {ENOUGH} rows would.")
    elif task.truth == "whole numbers" and names & {*NUMBER_LOSSES}:
        said.append(
            "Whether these are numbers, which this loss wants, or the indices of classes, which "
            "want an output each and `cross_entropy`, can't be told from them."
        )
    if count < ENOUGH and any(names) and not said:
        said.append(f"That is as far as {count} rows show; {ENOUGH} would do.")
    labels = np.unique(rows.targets) if probe.classes else np.zeros(0)
    width = rows.width
    single = 1 < width <= 1000 and count >= 10 * width and probe.counted == probe.examples
    if single and np.array_equal(labels, np.arange(1, width)):
        said.append(
            f"The labels go from 1 to {width - 1} and class 0 never occurs among "
            f"{len(rows.targets):,} targets: if they count from 1, subtract 1 and give the "
            "model one output fewer."
        )
    return said


def _left_out(probe: LossProbe) -> str:
    return f"those with the label {probe.ignored_label}"


def _cure(cure: LossCure, rng: np.random.Generator) -> tuple[str, list[Metric]]:
    """Return what the cure does, in words and as metrics."""
    at_checkpoint = (
        f"The checkpoint's loss on {cure.split} data is {cure.checkpoint_as_is:.4g} as it is and "
        f"{cure.checkpoint_cured:.4g} cured"
        + ("." if cure.same_loss else ", which is another loss and not to be compared.")
    )
    metrics = [
        Metric("checkpoint's loss as it is", cure.checkpoint_as_is),
        Metric("checkpoint's loss, cured", cure.checkpoint_cured),
    ]
    if not math.isfinite(cure.checkpoint_as_is + cure.checkpoint_cured):
        at_checkpoint = "The checkpoint's own loss is not finite."
    before, after = np.asarray(cure.scores_as_is), np.asarray(cure.scores_cured)
    if not len(before) or len(before) != len(after):
        why = cure.no_race[:1].upper() + cure.no_race[1:]
        return at_checkpoint + (f" {why}." if why else ""), metrics
    gain = float(after.mean() - before.mean())
    low, high = paired_bootstrap(after, before, rng)
    name = "error" if "error" in cure.metric else cure.metric
    better = high < 0 if name == "error" else low > 0
    worse = low > 0 if name == "error" else high < 0
    outcome = "is better" if better else "is worse" if worse else "makes no certain difference"
    metrics += [
        Metric(f"{name} as it is, copy", float(before.mean())),
        Metric(f"{name} cured, copy", float(after.mean())),
        Metric(f"change in {name} by the cure", gain, "", low, high),
    ]
    steps = f"{len(cure.cured):,} steps of {cure.optimizer}"
    return (
        f"Tried on two fresh copies from one seed, {steps}: {name} {before.mean():.3g} as it is, "
        f"{after.mean():.3g} cured, a change of {gain:+.3g} (95 % interval {low:+.3g} to "
        f"{high:+.3g}); the cure {outcome} there. {at_checkpoint}",
        metrics,
    )


def _race(cure: LossCure) -> tuple[Figure, ...]:
    curves = [("as it is", cure.as_is), ("cured", cure.cured)]
    finite = [(name, np.asarray(curve, float)) for name, curve in curves]
    if any(not len(curve) or not np.isfinite(curve).all() for _, curve in finite):
        return ()
    return (
        Lines(
            title="The loss against its cure",
            caption="Two fresh copies from one seed on the same batches; both curves show the "
            "cured loss, by which alone they can be compared.",
            x_label="step",
            y_label="cured loss",
            series=tuple(
                Series(name, tuple(map(float, range(len(curve)))), tuple(curve.tolist()))
                for name, curve in finite
            ),
        ),
    )


def _figures(probe: LossProbe, rows: Rows) -> tuple[Figure, ...]:
    """Return a table of what was measured, and how rows sum or outputs spread."""
    values = rows.outputs[np.isfinite(rows.outputs)] if rows.outputs.size else np.zeros(0)
    if not values.size:
        return ()
    rate, low, high = growth(probe)
    facts: list[tuple[str, str]] = [
        ("task, by the targets", f"{rows.task.truth} ({rows.task.sure})"),
        ("outputs, by their numbers", rows.form),
        ("least to largest output", f"{values.min():.4g} to {values.max():.4g}"),
        ("bounds, weights blown up", rows.reach.words if rows.reach.proven else "none"),
        ("outputs that are 0", f"{(values == 0).mean():.1%}"),
        ("loss acts as", ", ".join(name or "its own" for name in probe.acts_like)),
    ]
    if math.isfinite(rate):
        interval = f" ({2**low:.3g} to {2**high:.3g})" if math.isfinite(low) else ""
        facts.append(("loss of 2k over loss of k", f"{2**rate:.3g}{interval}"))
    table = Table(
        title="What was measured",
        caption=f"Of {len(rows.outputs):,} rows of {rows.width:,} outputs.",
        columns=("quantity", "measured"),
        rows=tuple(facts),
    )
    return (table, _histogram(rows, values))


def _histogram(rows: Rows, values: Array) -> Histogram:
    if rows.form == "probabilities":
        values = rows.outputs[np.isfinite(rows.outputs).all(axis=1)].sum(axis=1)
        title, label = "Sum of each row", "sum of a row's outputs"
        caption = "All rows sum to one: the outputs are probabilities."
        span = (0.9, 1.1)
    else:
        title, label = "Outputs", "output"
        caption = "Outputs as the loss gets them. Logits spread to both sides of zero."
        if not _takes_logits(rows):
            caption = "Outputs as the loss gets them."
        low, high = float(values.min()), float(values.max())
        span = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts, edges = np.histogram(values, BINS, span)
    return Histogram(title, caption, label, tuple(edges.tolist()), tuple(map(float, counts)))


def _takes_logits(rows: Rows) -> bool:
    """Tell whether the outputs stand for classes or labels."""
    return rows.task.truth in ("classes", "exclusive", "labels", "binary")
