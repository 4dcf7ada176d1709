"""The settings of optimizers against known good practice: a table of rules, each with its source.

A rule that is only `info` names an everyday choice. One that is `suspect` names a setting that has
to prove itself: whether it does harm is tried on copies, with `mend` put in its place. One that is
`broken` does what nobody can want, or what takes longer to show than a short trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.observations.adaptive_rules import ADAPTIVE_RULES
from auditor.observations.descent_rules import DESCENT_RULES
from auditor.observations.optimizer_rule import Known, Rule
from auditor.observations.settings import Plain

RULES: tuple[Rule, ...] = (*DESCENT_RULES, *ADAPTIVE_RULES)


@dataclass(frozen=True)
class Hit:
    """A rule that a group's settings meet, in words; `group` is its place."""

    rule: Rule
    group: int
    value: str
    text: str

    @property
    def named(self) -> str:
        """Return `setting=value`."""
        return (
            f"{self.rule.setting}={self.value}" if self.rule.setting != "optimizer" else self.value
        )


def hits_of(known: Known, group: int = 0) -> list[Hit]:
    """Return the rules that a group's settings meet, the gravest of each setting alone."""
    found: dict[str, Hit] = {}
    for rule in sorted(RULES, key=lambda rule: ("broken", "suspect", "info").index(rule.level)):
        if (rule.kinds and known.optimizer not in rule.kinds) or rule.setting in found:
            continue
        if not rule.test(known):
            continue
        value = _shown(known, rule.setting)
        text = rule.says.format(
            value=value,
            updates="steps" if known.updates is None else f"{known.updates:,.0f} steps",
            forgetting=known.forgetting,
            memory=1 / (1 - min(known.number("momentum", known.betas[0]), 0.9999)),
        )
        found[rule.setting] = Hit(rule, group, value, text)
    return list(found.values())


def mended(hits: Sequence[Hit]) -> dict[str, Plain]:
    """Return the settings to put in place of those that have to prove themselves."""
    return {k: v for hit in hits if hit.rule.level != "info" for k, v in hit.rule.mend.items()}


def _shown(known: Known, setting: str) -> str:
    if setting == "optimizer":
        return known.optimizer
    value = known.values.get(setting)
    if setting == "lr":
        value = known.rate
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{number:g}" for number in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
