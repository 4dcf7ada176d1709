"""What the moments that an optimizer keeps say: whether training can go on from them."""

import math
from collections.abc import Mapping

import numpy as np

from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms
from auditor.observations.optimizer_moments import Held, Moments
from auditor.observations.said import Said
from auditor.observations.settings import Settings

FAR = 100.0
"""A step of so many learning rates spoils a weight; Adam's are about one."""

OUTLYING = 1e3
"""How many times the other layers' a second moment is that one spike of the gradient left."""

MOSTLY = 0.5
"""Share of entries below eps from which the optimizer is another one, for the most part."""

ANEW = (
    "Go on with an optimizer made anew and some hundred steps of warm-up, or from an earlier "
    "checkpoint: do not load this state."
)


def said_of_moments(
    held: Held, settings: Settings, gradients: GradientNorms | None
) -> tuple[Said, ...]:
    """Return what is wrong with the moments of one optimizer."""
    kept = [one for one in held.moments if one.size]
    now = _gradients_now(gradients)
    found = [
        *_unusable(kept),
        *_impossible(kept, settings),
        *_zero(kept, now),
        *_exploded(kept, now),
        *_frozen(kept),
        *_age(held.moments, settings),
    ]
    return tuple(found)


def frozen_share(held: Held) -> float:
    """Return the share of entries whose root is below eps, over all parameters; NaN if unknown."""
    known = [one for one in held.moments if one.frozen == one.frozen]
    total = sum(one.size for one in known)
    return sum(one.frozen * one.size for one in known) / total if total else math.nan


def _gradients_now(gradients: GradientNorms | None) -> Mapping[str, float]:
    """Return the root mean square of each parameter's gradient over batches, as a norm."""
    if gradients is None or not len(gradients.losses):
        return {}
    norms = np.asarray(gradients.parameter_norms, float)
    squares = np.where(np.isfinite(norms), norms, 0.0) ** 2
    sizes = np.sqrt(squares.mean(axis=0))
    return dict(zip(gradients.parameters, sizes.tolist(), strict=True))


def _places(kept: list[Moments], note: str) -> tuple[Place, ...]:
    return tuple(Place("parameter", clean_text(one.name), note) for one in kept if one.name)


def _named(kept: list[Moments]) -> str:
    names = [f"`{clean_text(one.name)}`" for one in kept if one.name]
    return f" ({listed(names, 4)})" if names else ""


def _unusable(kept: list[Moments]) -> list[Said]:
    lost = sorted((one for one in kept if one.lost), key=lambda one: -one.lost / one.size)
    if not lost:
        return []
    text = (
        f"The saved moments of {counted(len(lost), 'parameter')}{_named(lost)} hold values that "
        "are not finite, or squares below zero: the first step from this state destroys the "
        "weights."
    )
    where = tuple(
        Place("parameter", clean_text(one.name), f"{one.lost:,} of {one.size:,} moments unusable")
        for one in lost
        if one.name
    )
    return [Said(Verdict.FAIL, text, where, ANEW)]


def _impossible(kept: list[Moments], settings: Settings) -> list[Said]:
    odd = sorted((one for one in kept if one.impossible), key=lambda one: -one.longest)
    if not odd:
        return []
    far = max(one.longest for one in odd)
    text = (
        f"The first and second moments of {counted(len(odd), 'parameter')}{_named(odd)} can't come "
        f"from the same gradients: the next step would be up to {far:.2g} learning rates long, "
        "where Adam's are about one."
    )
    where = tuple(
        Place("parameter", clean_text(one.name), f"a step of {one.longest:.2g} learning rates")
        for one in odd
        if one.name
    )
    verdict = Verdict.FAIL if far > FAR else Verdict.WARN
    return [Said(verdict, text, where, ANEW)]


def _zero(kept: list[Moments], now: Mapping[str, float]) -> list[Said]:
    still = [one for one in kept if not one.lost and _nothing(one)]
    if not still:
        return []
    if len(still) == len(kept):
        text = (
            f"All saved moments are zero, though {_steps(kept)}: they were wiped, or no gradient "
            "ever came; the first steps from here have the wrong length."
        )
        return [Said(Verdict.WARN, text, _places(still, "moments of zero"), ANEW)]
    reset = [one for one in still if now.get(one.name, 0.0) > 0]
    found = []
    if reset:
        text = (
            f"The saved moments of {counted(len(reset), 'parameter')}{_named(reset)} are zero, "
            f"though {_steps(reset)} and gradients come now: they were wiped."
        )
        found.append(Said(Verdict.WARN, text, _places(reset, "moments wiped"), ANEW))
    rest = [one for one in still if one not in reset]
    if rest:
        text = (
            f"The saved moments of {counted(len(rest), 'parameter')}{_named(rest)} are zero: no "
            "gradient ever came (see `disconnected-parameters`)."
        )
        found.append(Said(Verdict.INFO, text))
    return found


def _nothing(one: Moments) -> bool:
    known = [value for value in (one.first, one.root) if value == value]
    return bool(known) and not any(known)


def _steps(kept: list[Moments]) -> str:
    counts = [one.step for one in kept if one.step == one.step]
    return f"{max(counts):,.0f} steps are counted" if counts else "they are kept"


def _exploded(kept: list[Moments], now: Mapping[str, float]) -> list[Said]:
    """Return the layers whose second moment towers above the others', and above their gradient."""
    known = [
        (one, one.root, one.root * math.sqrt(one.size) / now[one.name])
        for one in kept
        if one.root > 0 and math.isfinite(one.root) and now.get(one.name, 0.0) > 0
    ]
    if len(known) < 3:
        return []
    root, times = (float(np.median([row[place] for row in known])) for place in (1, 2))
    high = [(one, t) for one, r, t in known if r > OUTLYING * root and t > OUTLYING * times]
    if not high:
        return []
    layers = [one for one, _ in sorted(high, key=lambda row: -row[1])]
    text = (
        f"The second moment of {counted(len(layers), 'parameter')}{_named(layers)} has exploded: "
        f"its root is {max(t for _, t in high):.2g} times the gradient that comes now, where that "
        f"of the median parameter is {times:.2g} times. Its steps are that much too short until "
        "it is forgotten."
    )
    advice = (
        "Look for a batch with a huge gradient and clip at the norm that `clipping-off` measures "
        "(`torch.nn.utils.clip_grad_norm_`); then go on with an optimizer made anew."
    )
    return [Said(Verdict.WARN, text, _places(layers, "second moment exploded"), advice)]


def _frozen(kept: list[Moments]) -> list[Said]:
    share = frozen_share(Held("", tuple(kept)))
    if not share > MOSTLY:
        return []
    worst = sorted((one for one in kept if one.frozen > MOSTLY), key=lambda one: -one.frozen)
    eps = max(one.eps for one in worst) if worst else math.nan
    text = (
        f"For {100 * share:.0f} % of the weights the root of the saved second moment is below eps "
        f"({eps:.2g}){_named(worst)}: there the optimizer does not adapt, it is plain momentum "
        f"with the rate lr / eps."
    )
    return [Said(Verdict.INFO, text)]


def _age(kept: tuple[Moments, ...], settings: Settings) -> list[Said]:
    """Return where the moments are of another age than the training, or than one another."""
    counts = {one.name: one.step for one in kept if one.step == one.step and one.size}
    if not counts:
        return []
    found = []
    most = max(counts.values())
    if settings.epochs is not None and settings.per_epoch:
        told = settings.epochs * settings.per_epoch
        text = (
            f"The optimizer's state counts {most:,.0f} steps; {settings.epochs:g} epochs of "
            f"{settings.per_epoch:,} batches would be {told:,.0f}."
        )
        if most < settings.epochs:
            text += " That is not even one an epoch: the state is another training's, or was reset."
            advice = (
                "Save `optimizer.state_dict()` of the optimizer that made the last step, at the "
                "same moment as the weights."
            )
            found.append(
                Said(
                    Verdict.WARN,
                    text,
                    (Place("setting", "training.optimizer", "state of another age"),),
                    advice,
                )
            )
        elif not 0.5 <= most / told <= 2:
            found.append(Said(Verdict.INFO, f"{text} Gradients may have been accumulated."))
    young = [name for name, count in counts.items() if count < most / 2]
    if young:
        text = (
            f"{counted(len(young), 'parameter')} ({listed(young, 4)}) got fewer than half of the "
            f"{most:,.0f} steps of the others."
        )
        found.append(Said(Verdict.INFO, text))
    return found
