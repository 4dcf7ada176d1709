"""Where the scale grows or fades: over the depth of a model, or at one of its layers."""

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step as step_of_advice
from auditor.core.check import Limits
from auditor.core.statistics import (
    column_quantiles,
    first_over_last,
    geometric_interval,
    reciprocal,
    theil_sen,
)
from auditor.core.text import clean_text, counted, interval
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.activation_scale import ActivationScale
from auditor.observations.scale_faults import CONFIDENCE, Fault, surely_beyond

LOUD = 10.0
"""Root mean square of an output below which a large gain is that of small or sparse inputs."""


def _hidden(scale: ActivationScale) -> Array:
    """Return the layers whose scale the model keeps: neither its output nor before a norm."""
    return np.flatnonzero([not (k.whole or k.normalised) for k in scale.layers])


def growth_over_depth(
    scale: ActivationScale, deviation: Array, limits: Limits
) -> tuple[list[Fault], tuple[float, float, float]]:
    """Return growth over depth with its interval, and the fault where it is one."""
    places = _hidden(scale)
    flow = np.where(deviation > 0, deviation, np.nan)[:, places]
    shrink = first_over_last(flow)
    growth = geometric_interval(1 / shrink[shrink > 0])
    _, low, high = geometric_interval(1 / shrink[shrink > 0], CONFIDENCE)
    typical = column_quantiles(flow, (0.5,))[0] if flow.size else np.zeros(0)
    known = np.flatnonzero(np.isfinite(typical))
    if len(known) < 2 or not np.isfinite(growth[0]):
        return [], (np.nan, np.nan, np.nan)
    slope = theil_sen(known.astype(float), np.log10(typical[known]))[0]
    steps = np.diff(np.log10(typical[known]))
    up = growth[0] > 1
    found = growth[0], low, high
    factor, *bounds = found if up else reciprocal(*found)
    verdict = surely_beyond(limits["growth" if up else "decay"], factor, *bounds, batches=len(flow))
    if verdict is Verdict.PASS or (slope > 0) is not up:
        return [], growth
    step = int(steps.argmax() if up else steps.argmin())
    # Of the two layers at the steepest step the one farther from 1 is off.
    pair = known[step : step + 2]
    odd = int(pair[np.argmax(np.abs(np.log(typical[pair])))])
    layer = scale.layers[places[odd]]
    name = clean_text(layer.layer)
    does = "grow" if up else "collapse"
    return [
        Fault(
            name,
            verdict,
            f"deviation {typical[odd]:.2g}",
            f"From the first layers to the last activations {does} by a factor of "
            f"{factor:.2g}{interval(bounds[0], bounds[1], '99 %')}, most of it at `{name}`: there "
            f"by a factor of {10 ** abs(steps[step]):.2g}.",
            (
                step_of_advice(
                    f"Initialise `{name}` and its like so that they keep the scale: "
                    "`torch.nn.init.kaiming_normal_` before ReLU, `torch.nn.init.xavier_uniform_` "
                    "before tanh; its weights are now off by about "
                    f"{10 ** abs(steps[step]):.2g} times.",
                    snippets.initialised(layer.layer) if layer.weighted else "",
                ),
                f"Put normalisation or a residual connection around `{name}`.",
            ),
        )
    ], growth


def amplifying_layers(scale: ActivationScale, size: Array, limits: Limits) -> list[Fault]:
    """Return the layers that amplify too much, and the first whose output is too large."""
    with np.errstate(all="ignore"):
        gains = size / np.sqrt(scale.of("given"))
    # A normalisation whose statistics do not fit takes nothing away.
    typical_size = column_quantiles(size, (0.5,))[0]
    passed = [
        place
        for place, kind in enumerate(scale.layers[:-1])
        if kind.normalised and not kind.whole and typical_size[place + 1] > LOUD
    ]
    hidden = np.union1d(_hidden(scale), np.asarray(passed, int))
    confidence = 1 - (1 - CONFIDENCE) / max(len(hidden), 1)
    faults: list[Fault] = []
    beyond: list[tuple[Verdict, int, float]] = []
    loud: list[int] = []

    def judged(limit: str, value: float, low: float, high: float) -> Verdict:
        return surely_beyond(limits[limit], value, low, high, batches=len(size))

    for place in hidden:
        kind = scale.layers[place]
        typical, low, high = geometric_interval(size[:, place], confidence)
        if np.isnan(typical):
            continue
        if (verdict := judged("size", typical, low, high)) is not Verdict.PASS:
            beyond.append((verdict, place, typical))
        if not kind.weighted:
            continue
        loud += [int(place)] if np.isfinite(gains[:, place]).any() else []
        gain, least, most = geometric_interval(gains[:, place], confidence)
        if np.isnan(gain) or typical <= LOUD:
            continue
        verdict = judged("gain", gain, least, most)
        if verdict is not Verdict.PASS:
            name = clean_text(kind.layer)
            faults.append(
                Fault(
                    name,
                    verdict,
                    f"gain {gain:.3g}",
                    f"`{name}` puts out {gain:.3g} times what it is given: its root mean square "
                    f"is {typical:.3g}.",
                    (
                        step_of_advice(
                            f"Divide the weights of `{name}` by about {gain:.2g}, or initialise it "
                            "anew (`torch.nn.init.kaiming_normal_`) and train with a lower "
                            "learning rate; a layer is meant to keep the scale of its input.",
                            snippets.scaled(kind.layer, gain),
                        ),
                        f"Put a normalisation (`torch.nn.LayerNorm`, `BatchNorm`) after `{name}`.",
                    ),
                )
            )
    faults = faults or _loud_together(scale, size, gains[:, loud], loud, limits)
    if beyond and not faults:
        verdict, place, typical = beyond[0]
        name = clean_text(scale.layers[place].layer)
        faults.append(
            Fault(
                name,
                verdict,
                f"root mean square {typical:.3g}",
                f"{counted(len(beyond), 'layer')} "
                f"{'puts' if len(beyond) == 1 else 'put'} out values far from 1, `{name}` first: "
                f"its root mean square is {typical:.3g}.",
                (
                    f"Bring what `{name}` is given to deviation 1: the inputs by their mean and "
                    "deviation, hidden layers by normalisation.",
                ),
            )
        )
    return sorted(faults, key=lambda fault: fault.verdict is not Verdict.FAIL)


def _loud_together(
    scale: ActivationScale, size: Array, gains: Array, places: list[int], limits: Limits
) -> list[Fault]:
    """Return the fault of layers each of which amplifies a little too much."""
    if len(places) < 2 or not np.nanmax(size[:, places]) > LOUD:
        return []
    with np.errstate(all="ignore"):
        logs = np.log(np.where(gains > 0, gains, np.nan))
    together = np.exp(logs[np.isfinite(logs).all(axis=1)].mean(axis=1))
    mean, low, high = geometric_interval(together, CONFIDENCE)
    if np.isnan(mean):
        return []
    verdict = surely_beyond(limits["mean_gain"], mean, low, high, batches=len(together))
    if verdict is Verdict.PASS:
        return []
    typical = column_quantiles(gains, (0.5,))[0]
    top = int(np.nanargmax(typical))
    name = clean_text(scale.layers[places[top]].layer)
    return [
        Fault(
            name,
            verdict,
            f"gain {typical[top]:.3g}",
            f"{counted(len(places), 'layer')} amplify what they are given by {mean:.3g} times each"
            f"{interval(low, high, '99 %')}; most does `{name}`, by {typical[top]:.3g}.",
            (
                step_of_advice(
                    f"Initialise `{name}` and its like so that they keep the scale "
                    "(`torch.nn.init.kaiming_normal_` before ReLU), or put normalisation between "
                    f"them; their weights are now about {mean:.2g} times too large.",
                    snippets.initialised(scale.layers[places[top]].layer),
                ),
            ),
        )
    ]
