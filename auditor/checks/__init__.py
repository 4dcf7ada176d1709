"""THE CATALOGUE: every check, in the order of the report.

A check is one file in the folder of its section. Adding the file adds the check.
"""

import difflib
import functools
import importlib
import math
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from auditor.core.check import SECTIONS, Check, Limits
from auditor.core.errors import InputError
from auditor.core.finding import Limit
from auditor.core.spec import LimitSpec
from auditor.core.text import clean_text


@functools.cache
def catalogue() -> tuple[Check, ...]:
    """Return every check, by section in report order, then by id.

    Raises:
        TypeError: a file among the checks has no `judge` that `@check` was put on.
    """
    return tuple(item for section in SECTIONS for item in _checks_of(section.replace("-", "_")))


def _checks_of(folder: str) -> list[Check]:
    package = importlib.import_module(f"{__name__}.{folder}")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = []
    for name in names:
        module = importlib.import_module(f"{package.__name__}.{name}")
        judge = getattr(module, "judge", None)
        if not isinstance(judge, Check):
            raise TypeError(f"{module.__name__}: no `judge` decorated with `@check` in it")
        found.append(judge)
    return sorted(found, key=lambda item: item.id)


def select(only: Iterable[str] | None = None, skip: Iterable[str] = ()) -> tuple[Check, ...]:
    """Return the checks named in `only`, or all, without those named in `skip`.

    Raises:
        InputError: a name is no check's.
    """
    wanted = None if only is None else {find(name).id for name in only}
    unwanted = {find(name).id for name in skip}
    return tuple(
        item
        for item in catalogue()
        if item.id not in unwanted and (wanted is None or item.id in wanted)
    )


def find(name: str) -> Check:
    """Return the check of that id.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    known = {item.id: item for item in catalogue()}
    if name not in known:
        if {part.strip() for part in name.split(",")} <= known.keys():
            raise InputError(
                f"{clean_text(name, 80)!r} names several checks: give each its own --only or "
                "--skip, and in a spec make it a list"
            )
        raise InputError(
            f"no check is named {clean_text(name, 80)!r}; {_nearest(name, list(known))}"
        )
    return known[name]


def limits_for(check: Check, overrides: Mapping[str, LimitSpec]) -> Limits:
    """Return the check's limits with the spec's values in place of its own.

    Raises:
        InputError: a limit is unknown, not a number, or warns only beyond where it fails.
    """
    limits = dict(check.limits)
    for name, given in overrides.items():
        place = f"{check.id}: the limit {clean_text(name, 80)!r}"
        if name not in limits:
            raise InputError(f"{place} is not known; {_nearest(name, list(limits))}")
        limits[name] = _overridden(limits[name], given, place)
    return MappingProxyType(limits)


def _overridden(own: Limit, given: LimitSpec, place: str) -> Limit:
    if given.warn is None and given.fail is None:
        return own
    warn = own.warn if given.warn is None else given.warn
    fail = own.fail if given.fail is None else given.fail
    if any(value is not None and math.isnan(value) for value in (warn, fail)):
        raise InputError(f"{place} can't be NaN")
    default = ", ".join(f"{guide.severity} {guide.value:g}" for guide in own.guides())
    source = f"your spec (default: {default}; {own.source})"
    limit = replace(own, warn=warn, fail=fail, source=source)
    if limit.warn is not None and limit.fail is not None:
        sign = 1 if limit.bad == "above" else -1
        if sign * limit.warn > sign * limit.fail:
            raise InputError(
                f"{place} warns at {limit.warn:g}, which is beyond where it fails, "
                f"{limit.fail:g}; give both `warn` and `fail`"
            )
    return limit


def validate_limits(limits: Mapping[str, Mapping[str, LimitSpec]]) -> None:
    """Make sure that every check and limit that the spec overrides exists.

    Raises:
        InputError: one does not.
    """
    for name, overrides in limits.items():
        limits_for(find(name), overrides)


def _nearest(name: str, known: list[str]) -> str:
    if not known:
        return "this check has no limits"
    near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
