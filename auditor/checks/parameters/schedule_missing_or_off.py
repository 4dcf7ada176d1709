"""A schedule never stepped, run dry or in other units; whether decay or warm-up is called for.

What it does
------------
Tells what schedule was used, draws the course of the rate, looks for slips in it, and tries on
copies whether the model would gain by a decay at the end or by a warm-up at the beginning.

Why it matters
--------------
A rate that is right for the beginning is too high for the end, where the noise of the batches keeps
the loss at a floor, and transformers with Adam, above all, are thrown far off unless the rate is
warmed up. Schedules also fail in silence: one that is never stepped leaves no trace but a worse
model.

How it is measured
------------------
What is known of the schedule comes from the spec, from the scheduler's saved state, from `lr` and
`initial_lr` in the optimizer's, and from a log that holds learning rates. The course of a schedule
of `torch.optim.lr_scheduler` is computed with PyTorch's own class. Found are: a scheduler that was
never stepped; one laid out in epochs and stepped by updates, or the reverse (by the scheduler's own
count, or by the rate that the optimizer is left with); a rate below a
thousandth of its highest for the last tenth of training or more; a rate that rose threefold at the
end, above a tenth of its highest.

Decay is called for where copies of the checkpoint that go on at a tenth of the last rate surely end
below the checkpoint and below copies at the rate itself, which fall by less than that, if at all.
Surely: by the 99 % interval over runs and batches that were not trained on, all runs of one mind,
by a tenth of the loss and 2 % of that of fresh weights (a quarter, where that is not known).

Warm-up is called for where the first steps at the declared rate make the loss of fresh models jump
by more than a twentieth and they surely do not get below their start, while after a ramp over the
first half of as many steps they do. Where they recover that is told, and not held against them.

When it misleads
----------------
A few steps are few: a gain that takes epochs to show is not seen, and a ramp over three steps is
the shortest of warm-ups. A checkpoint taken before the end, as the best one, has a schedule cut
short. A schedule made by hand leaves no state: declare it, `training: {schedule: cosine}`.

What to do
----------
Let the rate come down over the last third of training at least, to a hundredth or less; warm up
over the first few percent where the first steps jump.

Source
------
Bottou, Curtis, Nocedal 2018, "Optimization Methods for Large-Scale Machine Learning", section 4.2
(the noise floor of a fixed rate); Loshchilov & Hutter 2017, "SGDR"; Goyal et al. 2017, "Accurate,
Large Minibatch SGD", section 2.2 (warm-up); Liu et al. 2020, "On the Variance of the Adaptive
Learning Rate and Beyond"; the documentation of `torch.optim.lr_scheduler`.
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.rate_figures import race_figures
from auditor.observations.rate_trials import RateTrials, RateTrialsOver
from auditor.observations.rate_verdicts import decays, floor_of, lost_or_worse, warms_up
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.schedule_faults import Flaw, flaws_of
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.settings_code import optimizer_code

FRESH = RateTrialsOver(start="fresh")
TRAINED = RateTrialsOver(start="checkpoint")
SCHEDULE = ScheduleOf()
SETTINGS = SettingsOf()

WHERE = "training.schedule"
SHOWN = 12
"""Settings of a schedule that the table shows."""


@dataclass(frozen=True)
class Tried:
    """What a trial says of decay or warm-up: a flaw, or a sentence where there is none."""

    flaw: Flaw | None = None
    said: str = ""


@check(
    title="The learning rate's schedule did its part",
    failure_title="The learning rate's schedule is missing or off",
    needs=(SETTINGS, SCHEDULE),
    wants=(FRESH, TRAINED),
    limits={
        "jump": Limit(
            warn=1.05,
            source="times the first loss: over batches of the same weights the loss of healthy "
            "fresh models of fifteen kinds differs by less in the mean of three runs",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge what is known of the schedule, and what copies gain by a decay or a warm-up."""
    fresh, trained = seen.get(FRESH), seen.get(TRAINED)
    schedule, settings = seen[SCHEDULE], seen[SETTINGS]
    raced = [answer for answer in (fresh, trained) if answer is not None and answer.arms]
    known = schedule.name not in ("", "none") or schedule.logged.size > 1
    if not raced and not known and not math.isfinite(schedule.last):
        first = next((answer for answer in (fresh, trained) if answer is not None), None)
        why = first.instead if first is not None else seen.missing(TRAINED)
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No schedule is known, and whether one is called for could not be tried: "
            f"{clean_text(why or 'nothing could be trained')}.",
        )
    flaws = list(flaws_of(schedule, settings))
    decay = _decay(fresh, trained, schedule, settings, flaws)
    warm = _warm_up(fresh, schedule, limits["jump"])
    flaws += [tried.flaw for tried in (decay, warm) if tried.flaw is not None]
    flaws.sort(key=lambda flaw: -SEVERITY[flaw.verdict])
    verdict = flaws[0].verdict if flaws else Verdict.PASS
    if not flaws and (not raced or (known and not schedule.course.size)):
        verdict = Verdict.PASS if raced else Verdict.INFO
    used = _used(schedule, settings) if not any(flaw.strayed for flaw in flaws) else ""
    said = [used, *(flaw.said for flaw in flaws), decay.said, warm.said]
    if not raced:
        why = seen.missing(TRAINED) or next((a.instead for a in (trained, fresh) if a), "")
        said.append(f"Whether more is called for was not tried: {clean_text(why or 'no race')}.")
    said.append(clean_text(schedule.note) if schedule.note else "")
    return Judgement(
        verdict,
        " ".join(part for part in said if part),
        metrics=_metrics(schedule, fresh, trained),
        where=tuple(
            Place("setting", WHERE, flaw.note)
            for flaw in flaws
            if flaw.verdict in (Verdict.WARN, Verdict.FAIL)
        ),
        advice=tuple(line for flaw in flaws for line in flaw.advice),
        figures=(*_course(schedule), *race_figures(raced)),
    )


WARM_UP = """\
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=500)
scheduler.step()  # after each optimizer.step()"""
"""A linear warm-up."""


def _used(schedule: Schedule, settings: Settings) -> str:
    if schedule.name == "none":
        return f"There was no schedule, says {clean_text(schedule.source or 'the spec')}."
    if not schedule.name and schedule.logged.size > 1:
        said = f"The rate went from {schedule.logged[0]:.2g} to {schedule.logged[-1]:.2g}"
        return f"{said}, says {clean_text(schedule.log_source)}."
    if not schedule.name:
        if math.isfinite(schedule.last) and schedule.first > 0:
            share = schedule.last / schedule.first
            return (
                f"The saved optimizer began at {schedule.first:.2g} and ended at "
                f"{schedule.last:.2g}, {share:.2g} of it; by which schedule is not known."
            )
        return "No schedule is declared, and none left a trace."
    said = f"`{clean_text(schedule.name, 80)}` was used, says {clean_text(schedule.source)}"
    share = schedule.share
    if math.isfinite(share):
        said += f"; the rate ended at {share:.2g} of its highest"
    if schedule.taken and schedule.horizon:
        unit = schedule.unit or "steps"
        said += (
            f" after {schedule.taken:,.0f} {unit}, of {schedule.horizon:,.0f} it is laid out for"
        )
    return f"{said}."


def _decay(
    fresh: RateTrials | None,
    trained: RateTrials | None,
    schedule: Schedule,
    settings: Settings,
    flaws: list[Flaw],
) -> Tried:
    """Return whether a decay is called for at the checkpoint."""
    if trained is None or not trained.arms:
        return Tried()
    stuck = any(flaw.note == "never stepped" for flaw in flaws)
    if decays(schedule) and not stuck:
        return Tried()
    floor = floor_of(trained, fresh)
    usual, tenth = trained.arm("declared"), trained.arm("tenth")
    if floor is None:
        if usual is None or tenth is None or usual.lost or tenth.lost:
            return Tried()
        ends = (float(arm.probes.mean()) for arm in (usual, tenth))
        return Tried(
            said="No decay is called for: going on from {:.4g}, copies of the checkpoint come to "
            "{:.4g} at the rate and to {:.4g} at a tenth of it.".format(trained.level, *ends)
        )
    low, high = floor.gain.sure_low / floor.level, floor.gain.sure_high / floor.level
    assert usual is not None
    assert tenth is not None
    said = (
        f"A decay is called for: the rate's own noise holds the loss at {floor.level:.4g}. In "
        f"{floor.steps} steps at a tenth of {floor.rate:.2g} copies come to "
        f"{float(tenth.probes.mean()):.4g}, {floor.gain.value / floor.level:.0%} lower (99 % "
        f"interval {low:.0%} to {high:.0%}); at the rate itself to "
        f"{float(usual.probes.mean()):.4g}."
    )
    return Tried(
        Flaw(
            Verdict.WARN,
            said,
            f"no decay, and {floor.rate:.2g} is too high for the end",
            (
                step(
                    f"Let the rate come down from `lr={floor.rate:.2g}` to about "
                    f"`{floor.rate / 100:.1g}`"
                    + (f" over the {settings.epochs:g} epochs:" if settings.epochs else ":"),
                    snippets.cosine(settings.epochs or 20, floor.rate / 100),
                ),
                step(
                    "Or go on from this checkpoint for a few epochs at "
                    f"`lr={floor.rate / 10:.2g}`:",
                    optimizer_code(settings, lr=floor.rate / 10),
                ),
            ),
        )
    )


def _warm_up(fresh: RateTrials | None, schedule: Schedule, jump: Limit) -> Tried:
    """Return whether a warm-up is called for from fresh weights."""
    usual = fresh.arm("declared") if fresh is not None else None
    ramp = fresh.arm("ramp") if fresh is not None else None
    if fresh is None or usual is None:
        return Tried()
    curve = np.where(np.isfinite(usual.losses), usual.losses, np.inf).mean(axis=0)
    known = curve.size > 0 and 0 < curve[0] < math.inf
    rise = float(curve.max() / curve[0]) if known else math.nan
    jumped = usual.lost > 0 or not rise <= (jump.warn or math.inf)
    if not jumped:
        return Tried(said="No warm-up is called for: the first steps do not make the loss jump.")
    high = "no longer finite" if not math.isfinite(rise) else f"{rise:.2g} times its first value"
    said = f"From fresh weights the first steps at {usual.rate:.2g} bring the loss to {high}"
    gain = fresh.gain(ramp) if ramp is not None else None
    if ramp is None or gain is None or not gain.sure:
        helps = "a warm-up was not tried" if ramp is None else "a ramp to it does not help"
        return Tried(said=f"{said}; {helps}: see `learning-rate-off`.")
    end = float(ramp.probes.mean())
    said += f"; after a ramp to it {fresh.steps} steps bring it from {fresh.level:.4g} to {end:.4g}"
    if warms_up(schedule):
        return Tried(said=f"{said}, so the schedule's warm-up is well placed.")
    over = fresh.gain(ramp, usual)
    own = fresh.gain(usual)
    better = over is None or over.sure
    gone = lost_or_worse(fresh, usual) or own is None or not own.sure
    if not (better and gone):
        return Tried(said=f"{said}, without a ramp as well in the end: no harm is shown.")
    plain = "no finite loss" if usual.lost else f"{float(usual.probes.mean()):.4g}"
    return Tried(
        Flaw(
            Verdict.WARN,
            f"A warm-up is called for. {said}, without one to {plain}.",
            f"no warm-up, and the first steps at {usual.rate:.2g} throw the weights off",
            (
                step(
                    "Warm up over the first few hundred updates, before whatever schedule follows "
                    "(`SequentialLR`):",
                    WARM_UP,
                ),
                f"Or begin at a smaller rate, such as `lr={usual.rate / 10:.2g}`; of transformers, "
                "norms before the attention (`norm_first=True`) need no warm-up.",
            ),
        )
    )


def _metrics(
    schedule: Schedule, fresh: RateTrials | None, trained: RateTrials | None
) -> tuple[Metric, ...]:
    found = [
        Metric("last rate as a share of the highest", schedule.share),
        Metric("steps of the schedule", schedule.taken if schedule.taken is not None else math.nan),
        Metric("steps it is laid out for", schedule.horizon or math.nan),
    ]
    for kind, name in (("tenth", "fall at a tenth of the rate"), ("declared", "fall at the rate")):
        arm = trained.arm(kind) if trained is not None else None  # type: ignore[arg-type]
        gain = trained.gain(arm) if trained is not None and arm is not None else None
        if gain is not None:
            found.append(
                Metric(f"{name}, from the checkpoint", gain.value, "", gain.low, gain.high)
            )
    return tuple(metric for metric in found if metric.value is None or math.isfinite(metric.value))


def _course(schedule: Schedule) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    series = []
    x, rates = np.asarray(schedule.x, float), np.asarray(schedule.rates, float)
    if x.size > 1:
        name = f"by the formula of {clean_text(schedule.name, 60)}"
        series.append(Series(name, tuple(map(float, x)), tuple(map(float, rates))))
    if schedule.taken is not None and x.size > 1 and schedule.taken < float(x[-1]):
        at, top = float(schedule.taken), float(rates.max())
        series.append(Series("training ended", (at, at), (0.0, top)))
    logged_x, logged = np.asarray(schedule.logged_x), np.asarray(schedule.logged)
    if logged.size > 1:
        places = np.unique(np.linspace(0, logged.size - 1, 400).astype(int))
        kept = tuple(map(float, logged_x[places])), tuple(map(float, logged[places]))
        series.append(Series("as logged", *kept))
    if series:
        figures.append(
            Lines(
                title="The course of the learning rate",
                caption="The rate before each step of the schedule. It should come down over "
                "training, and be small when it ends.",
                x_label=f"step of the schedule{f', {schedule.unit}' if schedule.unit else ''}",
                y_label="learning rate",
                series=tuple(series),
            )
        )
    plain = [(k, v) for k, v in schedule.values.items() if not k.startswith("_")][:SHOWN]
    if plain:
        rows = tuple((clean_text(k, 60), clean_text(v, 80)) for k, v in plain)
        where = clean_text(schedule.source, 120)
        caption = f"As told by {where}." if where else "As far as they are known."
        figures.append(Table("The schedule's settings", caption, ("setting", "value"), rows))
    return tuple(figures)
