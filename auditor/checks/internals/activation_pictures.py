"""The most and the least active channels, and what excites a unit most, in pictures (for a look).

What it does
------------
Shows activations: the most and the least active channels of the first, the middle and the last
convolution for a few examples beside their inputs, or units by position or by example where there
are no channels; the distribution of every layer's output by depth; and, for the most selective
units of the last hidden layer, the examples that excite them most.

Why it matters
--------------
Many faults are seen before they are measured: channels that are all alike, a map that shows
nothing but the border, a layer whose values collapse or explode, a unit that waits for a
watermark.

How it is measured
------------------
The model runs in evaluation mode over up to 128 validation examples, of a costly model fewer. The
*channels* shown are those of the largest and the smallest mean magnitude for that example, after
whatever follows the convolution in its shape (normalisation, rectifier), scaled together: an idle
one is dark. The *distributions* are quantiles of up to 512 values of each pass of 32 examples. A
*unit* is selective by how many of its deviations lie between its mean over the class that it
prefers and that over the rest, or, without classes, between its largest value and its mean; the
units of different classes take turns. Of a sequence the largest value over its positions counts.
Half of the examples shown beside channels are wrong answers that the model was surest of, where
there are any.

When it misleads
----------------
A few channels and examples are no survey. The examples that excite a unit most say little about
what it does for the others, and with few examples any unit prefers some class. Functions that no
module stands for, such as `torch.nn.functional.relu`, are not seen: what is shown is then what
goes into them.

What to do
----------
Look for what you would not expect, and at the findings of this section that measure it. A unit
that waits for something that is no part of the matter points at the data.

Source
------
Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks" (maps, and the inputs
that excite them most). Morcos et al. 2018, "On the importance of single directions for
generalization" (selectivity by class means; there relative to their sum, which wants activations
of one sign). Glorot, Bengio 2010 (activations by depth).
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Cell, Figure, Heatmap, Image, Images, Lines, Series, Table
from auditor.core.finding import Judgement
from auditor.core.foremost import foremost, how_many
from auditor.core.png import colour, diverging, grey
from auditor.core.samples import LEFT_OUT
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.activation_pictures import (
    ActivationPictures,
    ActivationPicturesOver,
    ExcitedUnit,
    LayerMaps,
    ShownExample,
    UnitMap,
)

PICTURES = ActivationPicturesOver()

SHORT = 36
TOKENS, FEATURES = 16, 5
"""Tokens, and features, by which an example is told in a table."""


@check(
    title="What the layers put out, in pictures",
    failure_title="What the layers put out could not be pictured",
    needs=(PICTURES,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Show activations; there is nothing to judge."""
    told = seen[PICTURES]
    drawn = _channels if _included(told) else _channel_table
    figures: list[Figure] = [drawn(told, layer) for layer in told.maps]
    figures += [_units(unit_map) for unit_map in told.units]
    figures += _by_depth(told)
    figures += _excited(told)
    shown = [*(one.layer for one in told.maps), *(one.layer for one in told.units)]
    names = ", ".join(f"`{clean_text(name)}`" for name in dict.fromkeys(shown))
    text = f"The activations of {counted(told.read, 'validation example')}: "
    text += (
        f"single {'channels' if told.maps else 'units'} of {names}, and " if shown else ""
    ) + f"the distribution of what each of {counted(len(told.layers), 'layer')} puts out"
    if told.excited:
        text += f", and the examples that excite units before `{clean_text(told.head)}` most"
    return Judgement(Verdict.INFO, f"{text}.", figures=tuple(figures))


def _channels(told: ActivationPictures, layer: LayerMaps) -> Images:
    images = []
    for place, one in enumerate(told.pictured):
        images.append(Image(_said(one), _input(one)))
        maps = np.asarray(layer.maps[place], float)
        for column in range(maps.shape[0]):
            rank = _rank(column, maps.shape[0])
            number, size = layer.channels[place, column], layer.strengths[place, column]
            drawn = diverging(maps[column], limit=1.0) if maps.min() < 0 else grey(maps[column])
            images.append(Image(f"{rank}: channel {number}, mean {size:.3g}", drawn))
    return Images(
        title=f"Channels of layer {clean_text(layer.layer, 60)}",
        caption=f"The most and the least active of {layer.of} channels beside each input, of one "
        "scale in a row; look for maps that follow the subject, not the border or nothing.",
        images=tuple(images),
        columns=1 + layer.maps.shape[1],
    )


def _included(told: ActivationPictures) -> bool:
    """Tell whether inputs of single examples, and what shows them, are at hand."""
    return all(one.shown.size for one in (*told.pictured, *told.examples))


def _channel_table(told: ActivationPictures, layer: LayerMaps) -> Table:
    """Return the channels without their maps: those of a first layer show the input."""
    return Table(
        title=f"Channels of layer {clean_text(layer.layer, 60)}",
        caption=f"The most and the least active of {layer.of} channels for each example, by the "
        f"mean magnitude of their maps. {LEFT_OUT}",
        columns=("example", "place", "channel", "mean magnitude"),
        rows=tuple(
            (
                _said(one).removeprefix("example "),
                _rank(column, layer.channels.shape[1]),
                int(layer.channels[place, column]),
                float(layer.strengths[place, column]),
            )
            for place, one in enumerate(told.pictured)
            for column in range(layer.channels.shape[1])
        ),
    )


def _rank(column: int, columns: int) -> str:
    least = column == columns - 1 and column > 0
    return "least active" if least else "most active" if column == 0 else "second"


def _said(one: ShownExample) -> str:
    text = f"example {one.example}"
    if one.answer:
        text += f": {clean_text(one.answer, SHORT)}"
    if one.truth and one.truth != one.answer:
        text += f", is {clean_text(one.truth, SHORT)}"
    return text


def _input(one: ShownExample) -> str:
    shown = np.asarray(one.shown, float)
    if shown.ndim == 1:
        span = np.ptp(shown) if shown.size else 0.0
        shown = ((shown - shown.min()) / span if span > 0 else shown * 0)[None]
    return colour(shown) if shown.ndim == 3 else grey(shown)


def _units(unit_map: UnitMap) -> Heatmap:
    of = f" The {len(unit_map.units)} of {unit_map.of} units that vary most are shown."
    across = unit_map.across
    return Heatmap(
        title=f"Units of layer {clean_text(unit_map.layer, 60)} by {across}",
        caption=(
            f"What each unit puts out along example {unit_map.example}: look for units that change "
            "with the tokens, not only with their place."
            if across == "position"
            else "What each unit puts out for single examples, those of a class side by side: look "
            "for units that change with the class, and for rows that never change."
        )
        + (of if len(unit_map.units) < unit_map.of else ""),
        x_label="position" if across == "position" else "target · example",
        y_label="unit",
        label="activation",
        values=tuple(tuple(float(v) for v in row) for row in np.asarray(unit_map.values)),
        x_names=tuple(clean_text(name, 24) for name in unit_map.columns)
        if across == "example"
        else (),
        y_names=tuple(str(int(unit)) for unit in unit_map.units),
    )


def _by_depth(told: ActivationPictures) -> list[Figure]:
    table: Array = np.asarray(told.quantiles, float)
    known = [row for row in range(len(table)) if np.isfinite(table[row]).all()]
    if len(known) < 2:
        return []
    spread = table[known, -2] - table[known, 1]
    typical = np.median(spread[spread > 0]) if (spread > 0).any() else 1.0
    far = np.abs(np.log(np.maximum(spread, 1e-12 * typical) / typical))
    rows = [known[place] for place in foremost(far)]
    x = tuple(float(place) for place in range(len(rows)))

    def level(at: int) -> tuple[float, ...]:
        return tuple(float(table[row, at]) for row in rows)

    return [
        Lines(
            title="Activations by depth",
            caption="The median of what each layer puts out, four values in five (band), and the "
            "outermost hundredths; a layer that collapses to a line or spreads far beyond its "
            "neighbours stands out." + how_many(len(rows), len(known)),
            x_label="layer, in the order of execution",
            y_label="activation",
            series=(
                Series("median and middle 80 %", x, level(3), level(1), level(5)),
                Series("lowest 1 %", x, level(0)),
                Series("highest 1 %", x, level(6)),
            ),
            x_names=tuple(clean_text(told.layers[row], 60) for row in rows),
        ),
        Table(
            title="Activations of every layer",
            caption="Quantiles of what each layer puts out, and the share that is exactly zero; "
            "rows are in the order of execution.",
            columns=("layer", "1 %", "10 %", "median", "90 %", "99 %", "zero"),
            rows=tuple(
                (
                    clean_text(told.layers[row]),
                    *(float(table[row, at]) for at in (0, 1, 3, 5, 6)),
                    float(told.zeros[row]),
                )
                for row in known
            ),
        ),
    ]


def _excited(told: ActivationPictures) -> list[Figure]:
    if not told.excited:
        return []
    shown = _included(told)
    if shown and told.examples[0].kind == "picture":
        return [_gallery(told)]
    rows: list[tuple[Cell, ...]] = []
    for unit in told.excited:
        for number, value, at in zip(unit.examples, unit.values, unit.positions, strict=True):
            one = told.examples[number]
            rows.append(
                (
                    unit.unit,
                    f"{unit.apart:.1f}"
                    + (f", {clean_text(unit.prefers, 20)}" * bool(unit.prefers)),
                    one.example,
                    clean_text(one.truth or one.answer, 24) or None,
                    value,
                    *((_told(one, at),) if shown else ()),
                )
            )
    what = "tokens up to the place" if told.examples[0].kind == "tokens" else "largest features"
    return [
        Table(
            title="Examples that excite a unit most",
            caption=f"Units of what goes into {clean_text(told.head, 60)} that tell examples apart "
            "best, and for each the examples of its largest values: look for what they share."
            + ("" if shown else f" {LEFT_OUT}"),
            columns=(
                "unit",
                "deviations apart",
                "example",
                "target",
                "activation",
                *((what,) if shown else ()),
            ),
            rows=tuple(rows),
        )
    ]


def _told(one: ShownExample, at: int) -> str:
    """Return an example in a few words: its tokens up to the place, or its largest features."""
    values = np.asarray(one.shown)
    if one.kind == "tokens":
        end = min(at, len(values) - 1) + 1 if at >= 0 else len(values)
        start = max(0, end - TOKENS)
        dots = "… " if start else ""
        return dots + " ".join(str(int(token)) for token in values[start:end])
    order = np.argsort(-np.abs(values), kind="stable")[:FEATURES]
    return ", ".join(f"{int(feature)}: {values[feature]:.2g}" for feature in order)


def _gallery(told: ActivationPictures) -> Images:
    images = []
    for unit in told.excited:
        for number, value in zip(unit.examples, unit.values, strict=True):
            one = told.examples[number]
            target = clean_text(one.truth or one.answer, 24)
            images.append(
                Image(
                    f"unit {unit.unit}{_prefers(unit)}: {value:.3g}; example {one.example}"
                    + (f", {target}" if target else ""),
                    _input(one),
                )
            )
    return Images(
        title="Examples that excite a unit most",
        caption=f"A row for each of the units of what goes into {clean_text(told.head, 60)} that "
        "tell examples apart best, its most exciting example first: look for what a row shares.",
        images=tuple(images),
        columns=max(len(unit.examples) for unit in told.excited),
    )


def _prefers(unit: ExcitedUnit) -> str:
    return f" ({clean_text(unit.prefers, 20)})" if unit.prefers else ""
