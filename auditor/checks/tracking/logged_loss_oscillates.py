"""A logged loss that swings by as much as training gains.

What it does
------------
Reads the log of training and sets the swings of the loss in the second half of the run against what
the whole run gained.

Why it matters
--------------
Where the loss jumps up and down by half of what was learnt, the checkpoint is as good as its luck:
one epoch earlier or later it would be another model. The usual reason is a rate that is too high.

How it is measured
------------------
By the log alone. A swing goes from one turning point of the curve to the next; the typical one is
the middle (Hodges and Lehmann's) of those in the second half, where a schedule has had its time. It
is set against the first level less that of the lowest quarter of the run, a quarter of the first
level, or what the last quarter has risen above the lowest, whichever is most. The lower bound of
its 99 % interval has to be beyond a limit.

Looked at is the validation loss, whose examples are the same each time; else a training loss that
is told once an epoch; else one told oftener, in stretches of 25 readings or more, and only swings
of more than four times what the batches' own scatter explains. Losses of single batches scatter
because batches differ, and are not held against the run.

When it misleads
----------------
A rate that goes up and down by design (cyclic, warm restarts) makes the loss do the same: this is
told where the log has the rate. A validation set of a few dozen examples scatters more.

What to do
----------
Lower the rate, let it come down towards the end, or take larger batches. Keep the best checkpoint,
or an average of the last ones.

Source
------
Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3; Bottou, Curtis,
Nocedal 2018, section 4.2 (the noise floor of a fixed rate); Izmailov et al. 2018, "Averaging
Weights Leads to Wider Optima"; Hodges & Lehmann 1963, The Annals of Mathematical
Statistics 34 (the middle and its interval).
"""

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.log_course import of_gain
from auditor.observations.log_figures import rate_figure, run_figure
from auditor.observations.log_swings import NEEDED, swinging
from auditor.observations.training_log import TrainingLog, TrainingLogOf

LOG = TrainingLogOf()

CYCLES = 2
"""Times that a rate has to have risen again to be one that goes up and down by design."""

AVERAGED = """\
averaged = torch.optim.swa_utils.AveragedModel(model)
averaged.update_parameters(model)  # after each epoch of the last quarter
torch.optim.swa_utils.update_bn(train_loader, averaged)  # once, at the end"""
"""An average of the last epochs' weights."""


@check(
    title="The logged loss settled",
    failure_title="The logged loss oscillates",
    needs=(LOG,),
    limits={
        "swing": Limit(
            warn=0.5,
            fail=1.0,
            source="share of what training gained, at the lower 99 % bound: healthy runs with a "
            "fixed rate swing by less than a tenth; at one half a checkpoint more or less matters "
            "as much as half of the training",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the swings of the second half of a run."""
    log = seen[LOG]
    found = swinging(log)
    if isinstance(found, str):
        return Judgement(Verdict.NOT_APPLICABLE, found, figures=run_figure(log))
    limit = limits["swing"]
    metrics = (
        Metric("typical swing as a share of the gain", found.share, "", *found.interval, limit),
    )
    verdict = limit.verdict(found.low)
    said = (
        f"In the second half of the run the {found.of} swings by {found.typical:.3g} from turn to "
        f"turn, {of_gain(found.share)}, over {found.turns:,} swings"
    )
    if verdict is Verdict.PASS:
        return Judgement(Verdict.PASS, f"{said}.", metrics, figures=run_figure(log))
    region = [("second half", found.begins, found.ends)]
    figures = (*run_figure(log, regions=region), *rate_figure(log))
    if _cycles(log) >= CYCLES:
        return Judgement(
            Verdict.INFO,
            f"{said}. The learning rate goes up and down in the log, which makes the loss do so.",
            metrics,
            figures=figures,
        )
    return Judgement(
        verdict,
        f"{said}: where it ends is chance.",
        metrics,
        where=(Place("file", clean_text(log.source), f"swings by {found.typical:.3g}"),),
        advice=_advice(log),
        figures=figures,
    )


def _cycles(log: TrainingLog) -> int:
    """Return how often the rate rose again, by a third of its range at least, after a fall."""
    rate = log.named("lr")
    if rate is None or len(rate.finite.values) < NEEDED:
        return 0
    values = np.asarray(rate.finite.values, float)
    apart = (float(values.max()) - float(values.min())) / 3
    rises, low, high, fell = 0, values[0], values[0], False
    for value in values.tolist():
        if fell and value > low + apart:
            rises, fell, high = rises + 1, False, value
        elif not fell and value < high - apart:
            fell, low = True, value
        low, high = min(low, value), max(high, value)
    return rises


def _advice(log: TrainingLog) -> tuple[str, ...]:
    rate = log.named("lr")
    lines = []
    if rate is not None and len(rate.finite.values) and float(rate.finite.values[-1]) > 0:
        last = float(rate.finite.values[-1])
        lines.append(
            step(
                f"Train again at a third of the rate, {snippets.digits(last / 3)} instead of "
                f"{last:.2g}:",
                snippets.rate_set(last / 3),
            )
        )
    else:
        lines.append("Train again at a third of the rate, and log the rate as well.")
    lines.append(step("Or keep an average of the last epochs' weights:", AVERAGED))
    return tuple(lines)
