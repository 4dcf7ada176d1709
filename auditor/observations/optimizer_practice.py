"""What a check says of the declared settings by the table of rules alone."""

import ast
from collections.abc import Sequence

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.optimizer_health import MOSTLY, frozen_share
from auditor.observations.optimizer_moments import OptimizerMoments, Role
from auditor.observations.optimizer_race import OptimizerRace
from auditor.observations.optimizer_rule import Known
from auditor.observations.optimizer_rules import Hit, hits_of
from auditor.observations.optimizer_trial import setting_places
from auditor.observations.said import Said
from auditor.observations.settings import ParameterGroup, Settings

SPARED: dict[Role, tuple[str, str]] = {
    "bias": ("bias", "biases"),
    "norm": ("parameter of normalisation", "parameters of normalisation"),
    "embedding": ("embedding", "embeddings"),
}
"""What weight decay is usually kept from, and how one and several are called."""


def hits_in(settings: Settings, moments: OptimizerMoments) -> list[Hit]:
    """Return the rules that the groups' settings meet, each once, the gravest first."""
    found: dict[tuple[str, str, str], Hit] = {}
    for place, group in enumerate(moments.groups):
        known = Known(
            moments.optimizer,
            group.values,
            settings.updates,
            settings.per_epoch,
            moments.least,
        )
        for hit in hits_of(known, place):
            found.setdefault((hit.rule.setting, hit.rule.level, hit.value), hit)
    order = ("broken", "suspect", "info")
    return sorted(found.values(), key=lambda hit: order.index(hit.rule.level))


def said_of_settings(
    hits: Sequence[Hit],
    moments: OptimizerMoments,
    race: OptimizerRace | None,
    advised: Sequence[str] = (),
) -> list[Said]:
    """Return what the rules say; a setting that was tried is left to the trial, unless broken.

    `advised` is the advice that the trial gives.
    """
    was_tried = race is not None and race.racer("mended") is not None
    found = []
    for hit in hits:
        text = f"`{hit.named}` ({moments.source}) {hit.text}."
        advice = step(
            f"Set `{hit.rule.setting}` to {hit.rule.advised} ({hit.rule.source}).", _set(hit)
        )
        if any(f"`{hit.rule.setting}` to" in other for other in advised):
            advice = ""
        if hit.rule.level == "broken":
            found.append(Said(Verdict.WARN, text, setting_places([hit]), advice))
        elif hit.rule.level == "suspect" and not was_tried:
            seen = hit.rule.setting == "eps" and _mostly_frozen(moments)
            verdict = Verdict.WARN if seen else Verdict.INFO
            where = setting_places([hit]) if seen else ()
            unproven = "" if seen else " Whether it does harm was not tried."
            found.append(Said(verdict, text + unproven, where, advice))
    everyday = [hit for hit in hits if hit.rule.level == "info"]
    if everyday:
        told = "; ".join(f"`{hit.named}` {hit.text}" for hit in everyday)
        found.append(Said(Verdict.INFO, f"Worth knowing: {told}."))
    if moments.conflicts:
        text = f"Spec and checkpoint differ: {', '.join(moments.conflicts)}; the spec is taken."
        found.append(Said(Verdict.INFO, text))
    return [*found, *_decayed(moments.groups, moments), *_still(moments.groups)]


def _set(hit: Hit) -> str:
    """Return code that sets a setting as advised; empty where that is told in words."""
    if not hit.rule.setting.isidentifier() or hit.rule.setting == "optimizer":
        return ""
    try:
        value = ast.literal_eval(hit.rule.advised)
    except (SyntaxError, ValueError):
        return ""
    return f'for group in optimizer.param_groups:\n    group["{hit.rule.setting}"] = {value!r}'


def _mostly_frozen(moments: OptimizerMoments) -> bool:
    return any(frozen_share(held) > MOSTLY for held in moments.optimizers)


def _decayed(groups: Sequence[ParameterGroup], moments: OptimizerMoments) -> list[Said]:
    """Return a word on decay that is put on biases, norms and embeddings."""
    roles = dict(moments.roles)
    names: list[str] = []
    for group in groups:
        if group.number("weight_decay") > 0:
            whole = len(groups) == 1 and not group.parameters
            names += roles if whole else [name for name in group.parameters if name in roles]
    parts = []
    for role, (one, several) in SPARED.items():
        number = sum(roles[name] == role for name in names)
        if number:
            parts.append(counted(number, one, several))
    if not parts:
        return []
    decays = [g.number("weight_decay") for g in groups if g.number("weight_decay") > 0]
    text = (
        f"Weight decay ({max(decays):g}) is also put on {', '.join(parts)}, which is usually not "
        "done."
    )
    advice = step(
        "Keep decay from them (He et al. 2019, section 3.1), by groups for the optimizer:",
        snippets.decayed(max(decays)),
    )
    return [Said(Verdict.INFO, text, (), advice)]


def _still(groups: Sequence[ParameterGroup]) -> list[Said]:
    still = [g for g in groups if g.number("lr", 1.0) == 0 and not g.number("initial_lr")]
    if not still:
        return []
    names = [clean_text(name) for group in still for name in group.parameters]
    which = f": {listed(names, 4)}" if names else ""
    number = counted(len(still), "parameter group")
    text = (
        f"The learning rate of {number} of {len(groups):,} is 0{which} (see `updates-not-applied`)."
    )
    return [Said(Verdict.INFO, text)]
