"""A validation loss that rose again after its best, in the log of training.

What it does
------------
Reads the log of training, names the reading at which the validation loss was best, and tells how
much was lost since, and whether the audited checkpoint is the best or the last where that can be
told.

Why it matters
--------------
Past its best a run learns its training data by heart, and every further epoch makes the model worse
on new data. The better model was there, and often still is, in an earlier checkpoint.

How it is measured
------------------
By the log. The best reading is that of the validation loss after a running median of three or
five, which one lucky reading does not move. What was lost is the level of the last readings less
that at the best, as a share of what validation had gained from the first reading; the gain counts
for a quarter of the first level at least. It counts where it is beyond the limit with 99 %
confidence, less what the best of many readings owes to luck. Where the training loss rose since as
well the run went astray instead, and the check says so. Where an accuracy or another score of
validation was told and has not fallen since, the model grew too sure of itself and not worse: this
is told and not held against it. So is a rise that the audited checkpoint was saved before. Which
one was saved is told by the loss that this audit measures on the same validation data, where it is
that of the best reading or of the last one; else by counters in the checkpoint or by its name.
`overfitted` measures the gap between the splits on the model.

When it misleads
----------------
A validation set that is small, or of another kind than training's, has a best that means little.
Scripts count epochs from 0 or from 1, so that a counter can be off by one.

What to do
----------
Take the best checkpoint, and stop there next time. For a longer run that still gains: more data,
augmentation, weight decay, dropout.

Source
------
Prechelt 1998, "Early Stopping - But When?" (generalisation loss); Goodfellow, Bengio, Courville
2016, "Deep Learning", 7.8; Guo et al. 2017, "On Calibration of Modern Neural Networks", section 3
(the loss overfits before accuracy does).
"""

import math

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.log_best import NEEDED, SINCE, Best, Standing, best_of
from auditor.observations.log_course import of_gain, too_few
from auditor.observations.log_figures import Mark, run_figure
from auditor.observations.losses import LossesOver
from auditor.observations.splits import SplitsOf
from auditor.observations.training_log import TrainingLogOf

LOG = TrainingLogOf()
LOSSES = LossesOver(split="val")
SPLITS = SplitsOf()

STOPPED = """\
best, waited, patience = float("inf"), 0, 5
for epoch in range(epochs):
    train_one_epoch(model, optimizer)
    loss = validation_loss(model)
    waited = 0 if loss < best else waited + 1
    if loss < best:
        best = loss
        torch.save(model.state_dict(), "best.pt")
    if waited == patience:
        break"""
"""Training that keeps the best weights and stops when they get no better."""

STANDS: dict[Standing, str] = {
    "best": " The audited checkpoint is of that place ({by}).",
    "before": " The audited checkpoint was saved before it ({by}).",
    "last": " The audited checkpoint is that of the end ({by}), not the best.",
    "between": " The audited checkpoint was saved after the best, at {at} ({by}).",
    "": " Whether the audited checkpoint is the best or the last can't be told.",
}


@check(
    title="Validation did not get worse while training went on",
    failure_title="Validation got worse while training went on",
    needs=(LOG,),
    wants=(LOSSES, SPLITS),
    limits={
        "lost": Limit(
            warn=0.1,
            fail=0.5,
            source="share of what validation had gained, at the lower 99 % bound: a tenth is twice "
            "the generalisation loss at which Prechelt 1998 stops a run; at one half the epochs "
            "since the best undid more than they left",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge what the validation loss lost since its best."""
    log = seen[LOG]
    best = best_of(log, _measured(seen))
    if best is None:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "val_loss"))
    limit = limits["lost"]
    metrics = (
        Metric("best validation loss", best.value),
        Metric("share of the gain lost since the best", best.share, "", *best.interval, limit),
    )
    at = log.at(best.x)
    by = "by the loss that it has here" if best.measured else log.saved_by
    stands = STANDS[best.standing].format(by=by, at=log.at(float(log.saved_at)))
    marks: list[Mark] = [(f"best, {at}", best.x)]
    if best.standing in ("last", "between"):
        saved_at = best.last if best.measured else float(log.saved_at)
        marks.append(("audited checkpoint", saved_at))
    said = f"The validation loss was best at {at}, {best.value:.4g}"
    lost = f"and ends at {best.end:.4g}: {of_gain(best.share)} is lost"
    plain = run_figure(log, marks)
    verdict = limit.verdict(best.low)
    if best.since < SINCE:
        if limit.verdict(best.share) is Verdict.PASS:
            said = f"{said}, at the end of the run or near it.{stands if best.standing else ''}"
            return Judgement(Verdict.PASS, said, metrics, figures=plain)
        told = f"{said}, {lost}; {best.since} readings since are too few to be sure.{stands}"
        return Judgement(Verdict.INFO, told, metrics, figures=plain)
    if verdict is Verdict.PASS:
        told = f"{said}, and ends at {best.end:.4g}: no rise that counts."
        return Judgement(Verdict.PASS, told, metrics, figures=plain)
    figures = run_figure(log, marks, [("since the best", best.x, best.last)])
    spared = _spared(best)
    if spared:
        return Judgement(Verdict.INFO, f"{said}, {lost}. {spared}{stands}", metrics,
                         figures=figures)  # fmt: skip
    astray = " The training loss rose as well: the run went astray." if best.diverges else ""
    note = f"best at {at}, then astray" if best.diverges else f"best at {at}, in validation"
    return Judgement(
        verdict,
        f"{said}, {lost} while training went on for {best.since:,} more readings.{astray}{stands}",
        metrics,
        where=(Place("file", clean_text(log.source), note),),
        advice=(
            f"Take the checkpoint of {at}, if it was kept.",
            step("Keep the best weights next time, and stop when they get no better:", STOPPED),
            "Lower the learning rate, which throws the run off its course."
            if best.diverges
            else "To gain by longer training: more data or augmentation, then weight decay or "
            "dropout.",
        ),
        figures=figures,
    )


def _measured(seen: Seen) -> float:
    """Return the validation loss of the audited checkpoint, NaN where not all of it was read."""
    losses, splits = seen.get(LOSSES), seen.get(SPLITS)
    facts = splits.data.get("val") if splits is not None else None
    if losses is None or facts is None or not facts.complete:
        return math.nan
    if len(losses.values) != facts.batches_read:
        return math.nan
    return float(np.average(losses.values, weights=losses.sizes))


def _spared(best: Best) -> str:
    """Return why a rise is not held against the audited model, empty where it is."""
    if best.kept:
        return (
            f"`{clean_text(best.kept, 60)}` of validation has not fallen since: the model grew too "
            "sure of itself, not worse."
        )
    if best.standing in ("best", "before"):
        return "What was lost since does not reach the audited checkpoint."
    return ""
