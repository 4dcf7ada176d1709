"""What the places that tell a setting say of one another: the same, or a contradiction."""

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.core.verdict import Verdict
from auditor.observations.setting_match import (
    CLASSES,
    COMPOSED,
    alike,
    any_alike,
    loss_of,
    optimizer_of,
    schedule_of,
    shown,
)
from auditor.observations.setting_sources import CHECKPOINT, SettingSources, Stated
from auditor.observations.settings import Plain

OF_THE_STEP = ("momentum", "betas", "weight_decay", "eps")
"""Settings that scripts are called with and optimizers keep."""

UNKNOWN = "another"
"""The optimizer of which only is known that it is not the declared one."""

OWN = (CHECKPOINT, "training_args.bin", "optimizer.pt", "scheduler.pt", "trainer_state.json")
"""Files that are surely of the same training as the weights; others may have been left behind."""


@dataclass(frozen=True)
class Compared:
    """A setting as two places tell it.

    `verdict` is `pass` where they agree, `info` where common practice explains that they do not;
    `said` is a sentence on all but agreement. `times` is how far apart two numbers are.
    """

    setting: str
    one: Stated
    other: Stated
    verdict: Verdict
    said: str = ""
    times: float = 1.0


def differ(one: Stated, other: Stated) -> str:
    """Return "SGD by `x` in the spec and AdamW by `y` in the checkpoint"."""
    return f"{shown(one.value)} by {one.where}, and {shown(other.value)} by {other.where}"


def sure(stated: Stated) -> bool:
    """Tell whether a place is surely of the same training as the weights."""
    return stated.kind == "state" or stated.file in OWN or stated.file.endswith(".audit.jsonl")


def optimizer_compared(sources: SettingSources) -> Iterator[Compared]:
    """Yield what is said of the optimizer's class."""
    declared = next(iter(sources.of("optimizer", "declared")), None)
    states = [one for one in sources.optimizers if one.kinds]
    # Several optimizers in one checkpoint can be of several classes.
    judged = states if len(states) == len(sources.optimizers) else []
    kinds = tuple(dict.fromkeys(kind for one in judged for kind in one.kinds))
    state = None
    if kinds:
        value = " or ".join(kinds)
        state = Stated("optimizer", value, "state", f"{judged[0].where} in {judged[0].file}",
                       judged[0].file)  # fmt: skip
    confirmed = False
    if declared is not None and state is not None:
        confirmed = declared.value in kinds
        yield _kind_compared(declared, state, kinds, sources)
    for other in (
        sources.optimizers if declared is not None and len(sources.optimizers) == 1 else ()
    ):
        if not other.kinds and declared is not None and declared.value in other.ruled_out:
            kept = ", ".join(f"`{slot}`" for slot in other.slots[:4])
            stated = Stated("optimizer", UNKNOWN, "state", f"{other.where} in {other.file}",
                            other.file)  # fmt: skip
            yield Compared("optimizer", declared, stated, Verdict.WARN,
                           f"The saved optimizer keeps {kept}, which {shown(declared.value)}, "
                           "as declared, does not.")  # fmt: skip
    for told in sources.of("optimizer", "called"):
        name = optimizer_of(told.value)
        if not name:
            continue
        if declared is not None:
            same = name == declared.value
            cousins = {name, declared.value} <= {"Adam", "AdamW"}
            certain = sure(told) and not cousins and not confirmed
            verdict = Verdict.PASS if same else Verdict.FAIL if certain else Verdict.WARN
            yield Compared("optimizer", declared, told, verdict,
                           f"The optimizer is {differ(declared, told)}.")  # fmt: skip
        if state is not None and (declared is None or name == declared.value or confirmed):
            same = name in kinds or ({name, *kinds} <= {"Adam", "AdamW"} and not confirmed)
            yield Compared("optimizer", told, state, Verdict.PASS if same else Verdict.WARN,
                           f"The records do not agree on the optimizer: {differ(told, state)} (by "
                           "what it keeps).")  # fmt: skip


def _kind_compared(
    declared: Stated, state: Stated, kinds: tuple[str, ...], sources: SettingSources
) -> Compared:
    if declared.value in kinds:
        return Compared("optimizer", declared, state, Verdict.PASS)
    if {declared.value, *kinds} <= {"Adam", "AdamW"}:
        decays = {one.value for one in sources.of("weight_decay", "state")}
        if decays == {0} or any_alike(True, sources.of("decoupled_weight_decay", "declared")[:1]
                                      or (Stated("", False, "declared", "", ""),)):  # fmt: skip
            said = "Adam and AdamW without weight decay are one and the same"
            return Compared("optimizer", declared, state, Verdict.INFO, f"{said}.")
    return Compared(
        "optimizer",
        declared,
        state,
        Verdict.FAIL,
        f"The optimizer is {differ(declared, state)}, by the moments and settings that it keeps.",
    )


def settings_compared(sources: SettingSources) -> Iterator[Compared]:
    """Yield what is said of the optimizer's further settings."""
    cycled = any(one.cycled for one in sources.optimizers)
    skipped = {"momentum", "betas"} if cycled else set[str]()
    declared = [one for one in sources.told if one.kind == "declared"]
    for one in declared:
        if one.setting in skipped or not one.where.startswith("`training.optimizer."):
            continue
        state = sources.of(one.setting, "state")
        if one.setting in ("lr", "optimizer") or not state:
            continue
        yield _plain_compared(one, state, "as declared and as kept")
    for setting in OF_THE_STEP:
        state = sources.of(setting, "state")
        own = next(iter(sources.of(setting, "declared")), None)
        for told in sources.of(setting, "called"):
            if setting in skipped:
                continue
            if own is not None:
                yield _plain_compared(own, (told,), "as declared and as recorded")
            elif state:
                yield _plain_compared(told, state, "as recorded and as kept")


def _plain_compared(one: Stated, others: tuple[Stated, ...], how: str) -> Compared:
    same = next((other for other in others if alike(one.value, other.value)), None)
    if same is not None:
        return Compared(one.setting, one, same, Verdict.PASS)
    other = others[0]
    return Compared(one.setting, one, other, Verdict.WARN,
                    f"`{one.setting}` is not the same {how}: {differ(one, other)}.")  # fmt: skip


def further_compared(sources: SettingSources) -> Iterator[Compared]:
    """Yield what is said of seed, clipping, loss and the model's arguments."""
    names = ["seed", "clip_norm"]
    names += [one.setting for one in sources.told if one.setting.startswith("model.")]
    for setting in dict.fromkeys(names):
        told = sources.of(setting)
        yield from (
            _plain_compared(told[0], (other,), "in all places")
            for other in told[1:]
            if other.file != told[0].file and _comparable(told[0].value, other.value)
        )
    declared = next(iter(sources.of("loss", "declared")), None)
    for other in sources.of("loss", "called"):
        if declared is None or not loss_of(declared.value) or not loss_of(other.value):
            continue
        same = loss_of(declared.value) == loss_of(other.value)
        yield Compared("loss", declared, other, Verdict.PASS if same else Verdict.WARN,
                       f"The loss is {differ(declared, other)}.")  # fmt: skip


def _comparable(one: Plain, other: Plain) -> bool:
    if one is None or other is None:
        return False
    sorts = [str if isinstance(v, str) else tuple if isinstance(v, tuple) else float
             for v in (one, other)]  # fmt: skip
    return sorts[0] is sorts[1]


def schedule_compared(sources: SettingSources) -> Iterator[Compared]:
    """Yield what is said of the schedule's class and of what it is laid out for."""
    told = sources.of("schedule")
    declared = next((one for one in told if one.kind == "declared"), None)
    if declared is None:
        return
    states = [one for one in told if one.kind == "state"]
    family = schedule_of(declared.value)
    moved = not _stood(sources)
    if family == "none" and moved:
        last = sources.of("last_lr", "state")[0]
        first = sources.of("first_lr", "state")[0]
        yield Compared(
            "schedule",
            declared,
            states[0] if states else last,
            Verdict.WARN,
            f"No schedule is declared, by {declared.where}, and the rate went from "
            f"{shown(first.value)} to {shown(last.value)} ({last.where}).",
        )
        return
    clear = [one for one in states if one.value not in COMPOSED]
    for other in clear or sources.of("schedule", "called"):
        theirs = schedule_of(other.value)
        if declared.value in COMPOSED or not family or not theirs:
            continue
        classes = {str(declared.value), str(other.value)}
        same = len(classes) == 1 if classes <= CLASSES else family == theirs
        # A schedule that never moved the rate is none.
        same = same or (family == "none" and other.kind == "state")
        verdict = Verdict.PASS if same else Verdict.WARN
        yield Compared(
            "schedule", declared, other, verdict, f"The schedule is {differ(declared, other)}."
        )
        if len(classes) == 1:
            yield from _laid_out(sources)


def _laid_out(sources: SettingSources) -> Iterator[Compared]:
    for one in sources.told:
        if one.kind == "declared" and one.setting.startswith("schedule."):
            others = sources.of(one.setting, "state")
            if others and _comparable(one.value, others[0].value):
                yield _plain_compared(one, others, "as declared and as kept")


def _stood(sources: SettingSources) -> bool:
    """Tell whether the rates of an optimizer are those that they began with."""
    first, last = sources.of("first_lr", "state"), sources.of("last_lr", "state")
    return not first or all(any_alike(one.value, first) for one in last)
