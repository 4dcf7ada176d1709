"""Settings that are declared otherwise than the checkpoint's own state tells.

What it does
------------
Holds what the spec declares of training (optimizer and its settings, batch size, epochs, schedule,
clipping, seed, loss, the model's arguments) against what the checkpoint keeps: the state of
optimizer and scheduler, counters, what the script was called with, and files beside it. Then these
against one another.

Why it matters
--------------
Whoever retrains from a wrong declaration gets another model, and everything that this audit says of
learning rate, schedule and batch rests on it. One place that says otherwise shows that a file
belongs to another run.

How it is measured
------------------
The optimizer's class is told by the moments and settings that its state keeps; states saved by
PyTorch before 2.7 do not tell Adam from AdamW. Rates are compared with the first one
(`initial_lr`), with the last where no scheduler kept the first, and with what the declared schedule
comes to after the epochs that were made. Numbers are the same within a thousandth (rates within a
hundredth), epochs within one, since counters begin at 0 or at 1.

What common practice explains is told and not held against anybody: rates set by a cyclic schedule,
lowered by one, scaled with the batch, or different for groups of parameters; fewer updates than
batches (accumulated gradients, several devices); batches that are a whole number of recorded ones;
a checkpoint kept from an earlier epoch, where the plan fits or a score is kept beside it. That a
schedule was stepped otherwise than declared, `schedule-missing-or-off` says.

It fails only for what is certain by the state or the checkpoint's own record: another class of
optimizer, a rate or a number of epochs more than a factor of 2 off. All else warns, and so do
records that contradict one another, and files beside the checkpoint, which may be of another run.

When it misleads
----------------
A state that was loaded from an earlier training keeps that one's settings and counts. A rate that
was lowered by hand leaves no trace of the first one: where no schedule is declared or recorded,
that only warns. Optimizers of other libraries are not recognised. A script's record may hold
defaults that were never used.

What to do
----------
Find out which place is right, from the script or its log, and correct the other. Save settings with
the weights, from the objects that trained.

Source
------
Pineau et al. 2021, "Improving Reproducibility in Machine Learning Research" (JMLR 22); Goyal et al.
2017, "Accurate, Large Minibatch SGD" (rates that are scaled with the batch); Loshchilov & Hutter
2019, "Decoupled Weight Decay Regularization" (Adam and AdamW are different optimizers); PyTorch
documentation of `torch.optim` (`state_dict` of optimizers and schedulers).
"""

from collections.abc import Sequence

from auditor.core.advice import quoted, step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.secrets import MASK
from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.length_conflicts import length_compared
from auditor.observations.rate_conflicts import course_compared, rates_compared
from auditor.observations.schedule import ScheduleOf
from auditor.observations.setting_conflicts import (
    UNKNOWN,
    Compared,
    further_compared,
    optimizer_compared,
    schedule_compared,
    settings_compared,
)
from auditor.observations.setting_match import shown
from auditor.observations.setting_sources import SettingSourcesOf
from auditor.observations.settings import SettingsOf

SOURCES = SettingSourcesOf()
SCHEDULE = ScheduleOf()
SETTINGS = SettingsOf()

MOST_ROWS = 60
MOST_SAID = 6

SAVED = step(
    "Save the settings with the weights, from the objects that trained:",
    """\
torch.save(
    {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": epoch,
        "hyperparameters": {"optimizer": type(optimizer).__name__, **hyperparameters},
    },
    path,
)""",
)

OF_TRAINING = ("batch_size", "epochs", "clip_norm", "seed", "schedule")


@check(
    title="The declared settings are those that the checkpoint tells",
    failure_title="The declared settings contradict the checkpoint",
    needs=(SOURCES,),
    wants=(SCHEDULE, SETTINGS),
    limits={
        "rate": Limit(
            warn=1.01,
            fail=2.0,
            source="times apart; text and float32 keep a hundredth, and a factor of 2 is the step "
            "between rates that are tried as different ones (Bengio 2012, 'Practical "
            "Recommendations for Gradient-Based Training', section 3.3)",
        ),
        "epochs": Limit(
            warn=1.1,
            fail=2.0,
            source="times apart, beyond one epoch either way, which counting from 0 explains; a "
            "tenth more are the cooldown that some trainers add, twice as many another training",
        ),
        "steps": Limit(
            warn=2.0,
            source="times as many updates as the epochs have batches; accumulated gradients and "
            "dropped last batches only make fewer",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the places that tell the same setting agree."""
    sources = seen[SOURCES]
    schedule, settings = seen.get(SCHEDULE), seen.get(SETTINGS)
    compared = [
        *optimizer_compared(sources),
        *rates_compared(sources, limits["rate"]),
        *length_compared(sources, limits["epochs"], limits["steps"]),
        *settings_compared(sources),
        *schedule_compared(sources),
        *further_compared(sources),
    ]
    if schedule is not None and settings is not None:
        compared += course_compared(sources, schedule, settings)
    if not compared:
        why = (
            "no setting of training is told by two places"
            if sources.told
            else "neither spec nor checkpoint tells a setting of training"
        )
        return Judgement(Verdict.NOT_APPLICABLE, f"There is nothing to compare: {why}.")
    compared.sort(key=lambda one: -SEVERITY[one.verdict])
    bad = [one for one in compared if one.verdict in (Verdict.WARN, Verdict.FAIL)]
    told = [one for one in compared if one.verdict is Verdict.INFO]
    verdict = bad[0].verdict if bad else Verdict.INFO if told else Verdict.PASS
    settings_told = len({one.setting for one in compared})
    bad = _one_each(bad)
    said = list(dict.fromkeys(one.said for one in (*bad, *told)))
    more = len(said) - MOST_SAID
    agree = f"{counted(settings_told, 'setting')} told by two places or more: no contradiction."
    parts = [
        "" if bad else agree,
        *said[:MOST_SAID],
        f"{more:,} more are in the table." if more > 0 else "",
        _untold(sources.optimizers[0].kinds if sources.optimizers else ("",)),
    ]
    return Judgement(
        verdict,
        " ".join(part for part in parts if part),
        metrics=_metrics(compared, limits),
        where=tuple(dict.fromkeys(_place(one) for one in bad))[:20],
        advice=_advice(bad),
        figures=(_table(compared),),
    )


def _one_each(bad: Sequence[Compared]) -> list[Compared]:
    """Return the worst contradiction of each setting; whoever else says so is in the table."""
    found: dict[tuple[str, str], Compared] = {}
    for one in bad:
        kind = one.one.kind if one.setting != "steps" else ""
        found.setdefault((one.setting, kind), one)
    return list(found.values())


def _untold(kinds: Sequence[str]) -> str:
    if not kinds:
        return "The saved optimizer is of no class of torch.optim, so that its name is not told."
    if len(kinds) > 1:
        return f"By its state the optimizer can be {' or '.join(kinds)}: which is not told."
    return ""


def _metrics(compared: Sequence[Compared], limits: Limits) -> tuple[Metric, ...]:
    names = {"lr": "rate", "epochs": "epochs", "steps": "steps"}
    words = {"lr": "learning rates", "epochs": "numbers of epochs", "steps": "counts of updates"}
    found = []
    for setting, limit in names.items():
        apart = [one.times for one in compared if one.setting == setting]
        finite = [value for value in apart if value < 1e30]
        if finite:
            found.append(
                Metric(f"{words[setting]}, times apart", max(finite), "", limit=limits[limit])
            )
    bad = sum(one.verdict in (Verdict.WARN, Verdict.FAIL) for one in compared)
    return (Metric("contradictions", bad, f"of {counted(len(compared), 'comparison')}"), *found)


def _key(setting: str) -> str:
    """Return where the spec declares a setting."""
    if setting == "steps":
        return "training.epochs"
    if setting.startswith("model."):
        return f"model.args.{setting.removeprefix('model.')}"
    if setting == "loss":
        return setting
    if setting.partition(".")[0] in OF_TRAINING:
        return f"training.{setting}"
    return f"training.optimizer.{'name' if setting == 'optimizer' else setting}"


def _place(one: Compared) -> Place:
    note = (
        f"{shown(one.one.value)} in {one.one.file}, {shown(one.other.value)} in {one.other.file}"
        if one.setting != "steps"
        else f"{shown(one.other.value)} updates in {one.other.file}, not {shown(one.one.value)}"
    )
    return Place("setting", clean_text(_key(one.setting), 120), clean_text(note, 200))


def _advice(bad: Sequence[Compared]) -> tuple[str, ...]:
    if not bad:
        return ()
    declared = [
        one
        for one in bad
        if one.one.kind == "declared"
        and one.setting != "steps"
        and one.other.value not in (MASK, UNKNOWN)
    ]
    steps = [
        step(
            f"If {one.other.where} is right, correct the spec:",
            _yaml(_key(one.setting), one),
            language="yaml",
        )
        for one in declared[:3]
    ]
    if len(declared) < len(bad):
        steps.append(
            "Find out which of the places is right, from the script or its log, and whether a file "
            "beside the checkpoint is of another run; take that file away."
        )
    return (*dict.fromkeys(steps), SAVED)


def _yaml(key: str, one: Compared) -> str:
    value = one.other.value
    if one.setting == "optimizer":
        value = str(value).partition(" or ")[0]
    text = quoted(value) if isinstance(value, str) else _plain(value)
    *sections, last = key.split(".")
    if not all(part.isidentifier() for part in (*sections, last)):
        return ""
    lines = [f"{'  ' * depth}{part}:" for depth, part in enumerate(sections)]
    return "\n".join((*lines, f"{'  ' * len(sections)}{last}: {text}"))


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    number = float(str(value))
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def _table(compared: Sequence[Compared]) -> Table:
    words = {Verdict.PASS: "agree", Verdict.INFO: "explained"}
    rows = tuple(
        (
            clean_text(one.setting, 60),
            shown(one.one.value),
            one.one.where,
            shown(one.other.value),
            one.other.where,
            words.get(one.verdict, "contradict"),
        )
        for one in compared[:MOST_ROWS]
    )
    left = len(compared) - len(rows)
    return Table(
        "Settings that two places tell",
        "Each setting as one place tells it and as another does, contradictions first."
        + (f" {left:,} rows more are left out." if left else ""),
        ("setting", "value", "told by", "other value", "told by", "they"),
        rows,
    )
