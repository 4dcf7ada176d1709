"""What a saved optimizer tells of the settings of training. No torch."""

from collections.abc import Mapping
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.optimizer_kinds import kinds_of, ruled_out, slots_of
from auditor.intake.plain_settings import number_in, plain_of
from auditor.observations.setting_sources import SavedOptimizer, Stated
from auditor.observations.settings import Plain

Tree = Mapping[str, Any]

MOST_GROUPS = 64
"""Parameter groups that are looked at."""

STEP_BY_STEP = frozenset(
    {"params", "param_names", "foreach", "fused", "capturable", "differentiable", "maximize"}
)
"""What groups hold that says how a step is computed."""


def optimizer_told(where: str, file: str, saved: Tree) -> tuple[SavedOptimizer, tuple[Stated, ...]]:
    """Return what the state of an optimizer tells: of its class, and of its groups' settings."""
    groups = [g for g in saved["param_groups"][:MOST_GROUPS] if isinstance(g, Mapping)]
    cycled = any({"max_lr", "max_momentum", "base_momentum"} & set(group) for group in groups)
    kept = SavedOptimizer(where, file, kinds_of(saved), slots_of(saved), ruled_out(saved), cycled)
    found: dict[tuple[str, Plain], Stated] = {}
    names = {"lr": "last_lr", "initial_lr": "first_lr"}
    for group in groups:
        for key, value in group.items():
            if key in STEP_BY_STEP or not isinstance(key, str):
                continue
            one = value.item() if getattr(value, "numel", lambda: 0)() == 1 else value
            if not isinstance(one, bool | int | float | str | list | tuple):
                continue
            setting, plain = clean_text(names.get(key, key), 60), plain_of(key, one)
            stated = Stated(setting, plain, "state", f"{where} in {file}", file)
            found.setdefault((setting, plain), stated)
    entries = saved.get("state")
    steps = [
        number
        for entry in (entries.values() if isinstance(entries, Mapping) else ())
        if isinstance(entry, Mapping) and (number := number_in(entry.get("step"))) is not None
    ]
    told = list(found.values())[:400]
    if steps and max(steps) > 0:
        told.append(Stated("steps", max(steps), "state", f"{where} in {file}", file))
    return kept, tuple(told)
