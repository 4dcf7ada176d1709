"""The map of more layers than can be named: thin rows, with the stages at their side.

Layers with a verdict are called out by name, those of neighbours together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditor.core.verdict import SEVERITY, Verdict
from auditor.report.map.marks import Mark
from auditor.report.map.names import ending, span_name, stages_of
from auditor.report.map.rows import Content, numbers
from auditor.report.map.shapes import Canvas, Drawing, Icon, Link, Path, Shape, Text, units
from auditor.report.map.strips import FOOT, HEAD, draw_axes, draw_bands, strips_of
from auditor.report.plots.letters import fitted, text_width
from auditor.report.wording import WORDS

THICKEST = 9.0
LANE = 12.0
"""Width of the lane in which verdicts stand."""
STAGE = 15.0
"""Height that the name of a stage takes."""
NEAR = 4
"""Layers from one to the next that are called out together, where findings are the same."""
ICON = 12.0


@dataclass(frozen=True)
class Call:
    """Neighbouring layers that are called out together: the first and last, and how many.

    Among `reach`, the first and last layer of all that stand here, `near` more have a verdict.
    """

    first: int
    last: int
    count: int
    mark: Mark
    reach: tuple[int, int]
    near: int = 0


def draw_deep(content: Content, shape: Shape) -> tuple[Drawing, ...]:
    """Return the map in one piece."""
    shape = shape if content.marks else replace(shape, callouts=0)
    canvas, many = Canvas(shape), len(content.layers)
    bands = [
        [int(row) for row in band]
        for band in np.array_split(np.arange(many), min(many, int(shape.body)))
    ]
    height = min(THICKEST, shape.body / len(bands))
    bottom = HEAD + len(bands) * height
    band_of = {row: place for place, band in enumerate(bands) for row in band}
    top = {row: HEAD + place * height for row, place in band_of.items()}
    right = shape.width - shape.callouts
    slots = max(1, int((bottom - HEAD) / _step(shape)))
    calls = calls_of(content.marks, lambda row: band_of[row] * slots // len(bands))
    _shade(canvas, content.marks, top, height, right)
    _stages(canvas, content, top, height, bottom)
    left = shape.stages + shape.gap
    _lane(canvas, content, bands, height, right - LANE)
    strips = strips_of(content.columns, left, right - LANE - shape.gap, shape.gap)
    draw_axes(canvas, strips, bottom)
    for strip in strips:
        draw_bands(canvas, strip, bands, height)
    _callouts(canvas, content, calls, top, height, bottom)
    return (canvas.finished(bottom + FOOT),)


def calls_of(marks: Mapping[int, Mark], slot: Callable[[int], int]) -> list[Call]:
    """Return what is called out: neighbours with the same findings together.

    There is room for one callout in each slot. Where more would stand, it names those in which a
    likely cause is seen, or else the worst, and counts the others.
    """
    calls = _joined([Call(row, row, 1, mark, (row, row)) for row, mark in marks.items()])
    slots: dict[int, list[Call]] = {}
    for call in calls:
        slots.setdefault(slot(sum(call.reach) // 2), []).append(call)
    return _joined([_together(group) for _, group in sorted(slots.items())])


def _joined(calls: Sequence[Call]) -> list[Call]:
    """Return calls with those of neighbours that have the same findings made one."""
    joined: list[Call] = []
    for call in calls:
        last = joined[-1] if joined else None
        near = last is not None and call.reach[0] - last.reach[1] <= NEAR
        if last and near and call.mark.numbers == last.mark.numbers:
            joined[-1] = replace(
                last,
                last=call.last,
                count=last.count + call.count,
                reach=(last.reach[0], call.reach[1]),
                near=last.near + call.near,
            )
        else:
            joined.append(call)
    return joined


def _together(calls: Sequence[Call]) -> Call:
    def rank(call: Call) -> tuple[bool, int]:
        return call.mark.cause, SEVERITY[call.mark.verdict]

    top = max(map(rank, calls))
    lead = [call for call in calls if rank(call) == top]
    mark = replace(
        lead[0].mark,
        numbers=tuple(sorted({number for call in lead for number in call.mark.numbers})),
    )
    count = sum(call.count for call in lead)
    reach = min(call.reach[0] for call in calls), max(call.reach[1] for call in calls)
    near = sum(call.count for call in calls) - count
    return Call(lead[0].first, lead[-1].last, count, mark, reach, near)


def _step(shape: Shape) -> float:
    """Return the height that a callout takes."""
    return 2.8 * shape.size if shape.words else 17.0


def _shade(
    canvas: Canvas, marks: Mapping[int, Mark], top: Mapping[int, float], height: float, right: float
) -> None:
    """Shade the layers in which a likely cause is seen."""
    boxes = {Verdict.FAIL: "", Verdict.WARN: ""}
    for row, mark in marks.items():
        if mark.cause:
            thick = units(max(height, 2.0))
            boxes[mark.verdict] += f"M0 {units(top[row])}H{units(right)}v{thick}H0z"
    canvas.paths += [
        Path(box, str(verdict), opacity=0.16, filled=True) for verdict, box in boxes.items()
    ]


def _stages(
    canvas: Canvas, content: Content, top: Mapping[int, float], height: float, bottom: float
) -> None:
    shape = canvas.shape
    names = [layer.name for layer in content.layers]
    edge, lines, free = shape.stages, "", HEAD
    canvas.texts.append(Text(0, 13, "layers", shape.size, bold=True))
    for stage in stages_of(names, int((bottom - HEAD) / STAGE)):
        low, high = top[stage.first], top[stage.last] + height
        base = max((low + high) / 2 + 0.35 * shape.size, free + shape.size)
        if base <= max(high, low + STAGE) and base <= bottom:
            name = ending(stage.name, shape.stages - 8, shape.size - 1)
            canvas.texts.append(Text(0, round(base, 1), name, shape.size - 1, "muted"))
            lines += f"M0 {units(low)}H{units(edge)}"
            free = base + 2
    canvas.paths.append(Path(f"{lines}M0 {units(bottom)}H{units(edge)}", "rule", 0.75))


def _lane(
    canvas: Canvas, content: Content, bands: Sequence[Sequence[int]], height: float, left: float
) -> None:
    """Draw the verdicts by depth: failures across the lane, warnings across half of it."""
    found = {Verdict.FAIL: "", Verdict.WARN: ""}
    for place, band in enumerate(bands):
        verdicts = [content.marks[row].verdict for row in band if row in content.marks]
        if verdicts:
            worst = max(verdicts, key=SEVERITY.__getitem__)
            start = left if worst is Verdict.FAIL else left + LANE / 2
            y = HEAD + (place + 0.5) * height
            found[worst] += f"M{units(start)} {units(y)}H{units(left + LANE)}"
    box = f"M{units(left)} {units(HEAD)}h{units(LANE)}v{units(len(bands) * height)}h{units(-LANE)}z"
    canvas.paths.append(Path(box, "grid", filled=True))
    thick = round(max(height, 1.5), 2)
    canvas.paths += [Path(lines, str(verdict), thick) for verdict, lines in found.items()]


def _callouts(
    canvas: Canvas,
    content: Content,
    calls: Sequence[Call],
    top: Mapping[int, float],
    height: float,
    bottom: float,
) -> None:
    """Name what is called out, with a line from the lane to each name."""
    shape, step = canvas.shape, _step(canvas.shape)
    right = shape.width - shape.callouts
    text = right + (26 if shape.words else 14)
    middles = [(top[call.reach[0]] + top[call.reach[1]] + height) / 2 for call in calls]
    names = [layer.name for layer in content.layers]
    leaders = ""
    for call, middle, y in zip(calls, middles, spread(middles, step, HEAD, bottom), strict=True):
        low, high = top[call.reach[0]], top[call.reach[1]] + height
        leaders += f"M{units(right + 2)} {units(low)}V{units(max(high, low + 1))}"
        leaders += f"M{units(right + 2)} {units(middle)}L{units(text - 5)} {units(y)}"
        canvas.icons.append(Icon(text, round(y - ICON / 2, 1), ICON, call.mark.verdict))
        finding = content.findings[call.mark.numbers[0] - 1]
        name = span_name(names[call.first], names[call.last])
        link = Link(text, round(y - step / 2, 1), shape.width - text, round(step, 1),
                    call.mark.target, f"{name}: {finding.title}")  # fmt: skip
        canvas.links.append(link)
        x = text + ICON + 4
        if not shape.words:
            base = round(y + 0.35 * shape.size, 1)
            said = numbers(call.mark, 1)
            canvas.texts.append(Text(x, base, said, shape.size - 1.5, "muted"))
            continue
        room, small = shape.width - x, shape.size - 1
        many = f" ({call.count:,} layers)" if call.count > 1 else ""
        many += f" +{call.near:,} near" if call.near else ""
        taken = text_width(many, bold=True, size=shape.size)
        shown = fitted(name, room - taken, bold=True, size=shape.size)
        word = WORDS[call.mark.verdict]
        said = fitted(f"{word} {numbers(call.mark, 4)}: {finding.title}", room, size=small)
        canvas.texts += [
            Text(x, round(y - 2, 1), shown + many, shape.size, bold=True),
            Text(x, round(y + small, 1), said, small, str(call.mark.verdict)),
        ]
    canvas.paths.append(Path(leaders, "muted", 1))


def spread(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Return places near the wanted ones, in their order and `step` apart, between two ends."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, places[-1] + step if places else low + step / 2))
    end = high - step / 2
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], end)
        end = places[index] - step
    return places
