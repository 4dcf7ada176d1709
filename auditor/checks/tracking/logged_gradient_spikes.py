"""Spikes of the gradient's norm in the log of training.

What it does
------------
Reads the norms of the gradient in the log of training and finds those that stand far above their
neighbours, and what they did to the loss.

Why it matters
--------------
One batch whose gradient is a hundred times the usual can undo what a thousand steps have learnt,
and with Adam it spoils the averages for long after. Such batches are often broken examples.

How it is measured
------------------
By the log alone, on the logarithm of the norm. A spike is ten times the running median of its
neighbours or more, and six robust deviations above it (1.4826 times the median distance, of the
neighbours too), so that norms which scatter widely have none. The first twentieth of the run is
left out, where norms come down from those of fresh weights. Spikes side by side are one. The check
warns from three of them on, and where the training loss after one is beyond doubt above that before
it: by four deviations of the loss's own scatter, and by a tenth of what training gained. Fewer are
told. Norms that are NaN or infinite are counted apart: with half precision a few are the work of
the loss scaler, which skips such steps, and from one in a hundred on they are held against the run.

When it misleads
----------------
Trainers log the norm before clipping: where it is clipped, spikes do less harm. A log that tells
every fiftieth step misses most spikes.

What to do
----------
Clip the gradient at a few times its usual norm. Then look at the batches of those steps: extreme
inputs, wrong labels, empty sequences.

Source
------
Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks" (clipping);
Chowdhery et al. 2022, "PaLM", section 5.1 (spikes come of certain batches); Hampel 1974, "The
Influence Curve and its Role in Robust Estimation" (median and its deviation); Micikevicius et al.
2018, "Mixed Precision Training", section 3.2.
"""

import math

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import clopper_pearson
from auditor.core.text import clean_text, counted, listed, percent
from auditor.core.verdict import Verdict
from auditor.observations.log_course import too_few
from auditor.observations.log_figures import Mark, norm_figure, run_figure
from auditor.observations.log_spikes import NEEDED, TIMES, Spikes, spikes_of
from auditor.observations.training_log import TrainingLogOf

LOG = TrainingLogOf()
SHOWN = 3
"""Spikes that are marked and named."""


@check(
    title="The logged gradient norm has no spikes that matter",
    failure_title="The gradient's norm spikes",
    needs=(LOG,),
    limits={
        "spikes": Limit(
            warn=2,
            source="of spikes ten times their neighbours, and six deviations above them, chance "
            "brings none in a million readings; one or two in a run are told, more come again",
        ),
        "lost": Limit(
            warn=0.01,
            source="share of readings that are no numbers, at the lower 99 % bound: a loss scaler "
            "that doubles its scale every 2,000 steps skips one in 2,000",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the spikes of the gradient's norm, and the norms that are no numbers."""
    log = seen[LOG]
    found = spikes_of(log)
    if found is None:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "grad_norm"))
    most = int(limits["spikes"].warn or 0)
    lost_low = clopper_pearson(found.lost, found.readings, 0.99)[0]
    many_lost = limits["lost"].verdict(lost_low) is not Verdict.PASS
    loud = len(found.x) > most or bool(found.harmed) or many_lost
    interval = clopper_pearson(found.lost, found.readings)
    metrics = (
        Metric("spikes", len(found.x), f"of {found.readings:,} readings", limit=limits["spikes"]),
        Metric("readings that are no numbers", found.lost / found.readings, "", *interval,
               limits["lost"]),
        Metric("usual norm", found.usual),
    )  # fmt: skip
    order = sorted(range(len(found.x)), key=lambda i: (i not in found.harmed, -found.times[i]))
    marks: list[Mark] = [(f"spike, {log.at(found.x[i])}", found.x[i]) for i in order[:SHOWN]]
    usual = (Guide(found.usual, "usual norm"),)
    figures = (*norm_figure(log, marks, usual), *run_figure(log, marks))
    said = " ".join(part for part in (_spikes(found), _no_numbers(found)) if part)
    if not loud:
        verdict = Verdict.INFO if len(found.x) or found.lost else Verdict.PASS
        quiet = f"None of {found.readings:,} norms stands {TIMES:g} times above its neighbours."
        return Judgement(verdict, said or quiet, metrics, figures=figures)
    notes = [f"{found.times[i]:,.0f} times the usual at {log.at(found.x[i])}" for i in order]
    note = listed(notes, SHOWN) if notes else f"{found.lost:,} norms are no numbers"
    clip = snippets.digits(4 * found.usual, 1)
    return Judgement(
        Verdict.WARN,
        said,
        metrics,
        where=(Place("file", clean_text(log.source), note),),
        advice=(
            step(f"Clip the gradient at {clip}, four times its usual norm:",
                 snippets.clipped(clip)),
            "Look at the batches of these steps: extreme inputs, wrong labels, empty sequences.",
        ),
        figures=figures,
    )  # fmt: skip


def _spikes(found: Spikes) -> str:
    if not len(found.x):
        return ""
    highest = max(found.times)
    said = (
        f"The gradient's norm has {counted(len(found.x), 'spike')} of {TIMES:g} times its "
        f"neighbours or more, the highest of {highest:,.0f} times"
    )
    if found.harmed:
        return f"{said}; after {counted(len(found.harmed), 'of them', 'of them')} the loss is up."
    return f"{said}; the loss took no harm that the log shows."


def _no_numbers(found: Spikes) -> str:
    if not found.lost:
        return ""
    verb = "is" if found.lost == 1 else "are"
    share = found.lost / found.readings
    exact = f" ({percent(share)} %)" if not math.isclose(share, 1) else ""
    return f"{found.lost:,} of {found.readings:,} norms {verb} NaN or infinite{exact}."
