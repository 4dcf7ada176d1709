"""Settings that a stranger would need to retrain and cannot find.

What it does
------------
Goes through what a training is repeated with: optimizer, learning rate, momentum or betas, weight
decay, batch size, epochs, schedule, clipping, seed, loss, the model's arguments, the version of the
data and its preparation. Of each it tells the value and where it is recorded, or that it is not.

Why it matters
--------------
A model whose settings nobody wrote down can't be trained again, mended or compared with a new one.
Weights do not tell their batch size or learning rate.

How it is measured
------------------
By reading the spec, the checkpoint's own values, the state of its optimizer and scheduler, and the
files beside it that trainers write (`config.json`, `hparams.yaml`, `args.yaml`,
`trainer_state.json`, `training_args.bin`, a recorder's header). Pickles are read without running
anything of them.

It warns where one of four is missing: optimizer, learning rate, batch size, and epochs or steps.
They are in no other place, there is no usual value to fall back on, and each alone decides what
comes out. It only tells where others are: they have defaults (momentum, decay, clipping, schedule),
stand in the code (loss, model, preparation), or change the run and not what it is expected to reach
(the seed). Where the spec declares an optimizer and not its other settings, or clipping, these are
the defaults: those of its class, and none. It never fails, and of a model without a checkpoint it
only tells what is declared.

When it misleads
----------------
Settings may stand in an experiment tracker, a shell script or an article that the audit does not
see. Files beside the checkpoint may belong to another run (`settings-contradict-checkpoint` tells
where they disagree). A custom training loop may do more than any setting says.

What to do
----------
Save the settings into the checkpoint itself, from the objects that train, and declare in the spec
what can still be found out.

Source
------
Pineau et al. 2021, "Improving Reproducibility in Machine Learning Research" (JMLR 22), the
checklist's item "specification of all hyper-parameters used to generate results"; Dodge et al.
2019, "Show Your Work" (EMNLP), the checklist's items on hyperparameter configurations; Bouthillier
et al. 2021, "Accounting for Variance in Machine Learning Benchmarks" (MLSys), on seeds.
"""

from collections.abc import Iterable, Sequence

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import listed
from auditor.core.verdict import Verdict
from auditor.observations.retraining import Known, known_of
from auditor.observations.schedule import ScheduleOf
from auditor.observations.setting_sources import SettingSourcesOf

SOURCES = SettingSourcesOf()
SCHEDULE = ScheduleOf()

FILL_IN = "FILL_IN"
"""What stands for a value that only the user knows; the spec refuses it."""

WIDTH = 96


@check(
    title="What is needed to retrain is recorded",
    failure_title="What is needed to retrain is not recorded",
    needs=(SOURCES,),
    wants=(SCHEDULE,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the settings that nobody can do without are recorded."""
    sources = seen[SOURCES]
    if not sources.files and not sources.told:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "There was no place to look: the model is given without a checkpoint, and nothing is "
            "declared of its training.",
        )
    known = known_of(sources, seen.get(SCHEDULE))
    missing = [one for one in known if one.status in ("missing", "in part")]
    vital = [one for one in missing if one.item.essential and one.status == "missing"]
    essential = [one for one in known if one.item.essential]
    useful = [one for one in missing if one not in vital]
    places = listed(["the spec", *sources.files], 3)
    verdict = Verdict.WARN if vital else Verdict.INFO if missing else Verdict.PASS
    if not sources.files:
        verdict = Verdict.INFO
    return Judgement(
        verdict,
        _summary(vital, useful, places, kept=bool(sources.files)),
        metrics=(
            Metric(
                "essential settings recorded",
                len(essential) - len(vital),
                f"of {len(essential)}",
            ),
            Metric("settings recorded", len(known) - len(missing), f"of {len(known)}"),
        ),
        where=tuple(
            Place("setting", one.item.key, f"{one.item.name}: {_lack(one)}")
            for one in (*vital, *useful)
            if verdict is Verdict.WARN
        ),
        advice=_advice(missing) if missing else (),
        figures=(_table(known),),
    )


def _summary(vital: Sequence[Known], useful: Sequence[Known], places: str, *, kept: bool) -> str:
    names = [one.item.name for one in useful]
    also = f" Useful and not recorded: {listed(names, 12)}." if names else ""
    if not kept:
        lacking = listed([one.item.name for one in (*vital, *useful)], 14)
        said = "The model is given without a checkpoint, so that only the call tells its settings"
        return f"{said}; not among them: {lacking}." if lacking else f"{said}: it tells them all."
    if vital:
        lacking = listed([one.item.name for one in vital], 12)
        return f"Nobody can retrain without {lacking}, recorded nowhere ({places}).{also}"
    return f"Optimizer, learning rate, batch size and length of training are recorded.{also}"


def _lack(one: Known) -> str:
    return f"{one.value}, which is not told" if one.status == "in part" else "recorded nowhere"


def _advice(missing: Sequence[Known]) -> tuple[str, ...]:
    """Return code that records what is missing, and only that."""
    entries = list(dict.fromkeys(entry for one in missing for entry in one.item.code))
    found = []
    if entries:
        found.append(
            step(
                "Save what is missing with the weights, from the objects that train:",
                "\n".join(
                    (
                        "hyperparameters = {",
                        *(f"    {line}" for line in _wrapped(entries)),
                        "}",
                        'torch.save({"model": model.state_dict(), "optimizer": '
                        'optimizer.state_dict(), "hyperparameters": hyperparameters}, path)',
                    )
                ),
            )
        )
    lines = _spec_lines(one.item.yaml for one in missing if one.item.yaml)
    if lines:
        found.append(
            step(
                "Declare in the spec what can still be found out, with its values in the place of "
                f"`{FILL_IN}`:",
                "\n".join(lines),
                language="yaml",
            )
        )
    return tuple(found)


def _wrapped(entries: Iterable[str]) -> list[str]:
    """Return entries of a dictionary on as few lines as hold them."""
    lines: list[str] = []
    for entry in entries:
        if lines and len(lines[-1]) + len(entry) + 2 < WIDTH:
            lines[-1] += f" {entry},"
        else:
            lines.append(f"{entry},")
    return lines


def _spec_lines(keys: Iterable[str]) -> list[str]:
    """Return the lines of a spec that hold these dotted keys."""
    sections: dict[str, list[str]] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(name)
    lines = [f"{name}: {FILL_IN}" for name in sections.pop("", [])]
    own = sections.pop("training.optimizer", [])
    training = sections.pop("training", [])
    if own or training:
        lines.append("training:")
        if own:
            # The spec takes an optimizer whole.
            lines.append(f"  optimizer: {{name: {FILL_IN}, lr: {FILL_IN}}}")
        lines += [f"  {name}: {FILL_IN}" for name in training]
    for section, names in sections.items():
        lines += [f"{section}:", *(f"  {name}: {FILL_IN}" for name in names)]
    return lines


def _table(known: Sequence[Known]) -> Table:
    return Table(
        "What retraining needs, and where it is recorded",
        'The first four are those that nobody can do without. "By default" is what the class of '
        "optimizer takes where the spec names nothing else.",
        ("setting", "value", "where", "status"),
        tuple((one.item.name, one.value, one.where, one.status) for one in known),
    )
