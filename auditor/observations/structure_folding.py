"""A network small enough to draw: layers with what follows them, repeats once, containers whole."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditor.observations.structure import INPUT, OUTPUT, Part, Structure

MOST_BOXES = 40
LONGEST_REPEAT = 80
"""Boxes of the longest run that is looked for again."""

_JOINS = ("+", "−", "×", "÷", "concat", "index", "assign")


@dataclass(frozen=True)
class Box:
    """Parts drawn as one: their places, in order; `times` how often boxes like it stand here."""

    parts: tuple[int, ...]
    container: str = ""
    times: int = 1


@dataclass(frozen=True)
class Run:
    """Boxes from the place `first` to `last` that stand for `times` runs alike, named by homes."""

    first: int
    last: int
    times: int
    ends: tuple[str, str]


@dataclass(frozen=True)
class Folded:
    """Boxes in the order of execution, arrows between their places, and the runs that repeat."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]
    runs: tuple[Run, ...] = ()
    left_out: int = 0


def folded(seen: Structure, most: int = MOST_BOXES) -> Folded:
    """Return the network in at most `most` boxes: as little folded as that needs."""
    whole = _followed(seen)
    deepest = max((part.home.count(".") + bool(part.home) for part in seen.parts), default=0)
    for depth in range(deepest, -1, -1):
        now = whole if depth == deepest else _contained(seen, whole, depth)
        if len(now.boxes) > most:
            now = _twins_once(seen, now)
        if len(now.boxes) > most:
            now = _runs_once(seen, now)
        if len(now.boxes) <= most:
            return now
    return _ends_only(now, most)


def _followed(seen: Structure) -> Folded:
    """Put what only passes values on (activations, norms, pools) to the layer it follows."""
    into, out = _neighbours(seen.edges)
    box_of: dict[int, int] = {}
    boxes: list[list[int]] = []
    for place, part in enumerate(seen.parts):
        before = into.get(place, [])
        source = before[0] if len(before) == 1 else None
        joined = (
            source is not None
            and source in box_of
            and source < place
            and seen.parts[source].home == part.home
            and len(out[source]) == 1
            and not _stands_alone(part)
            and seen.parts[source].kind not in (INPUT, OUTPUT)
            and boxes[box_of[source]][-1] == source
        )
        if joined and source is not None:
            box_of[place] = box_of[source]
            boxes[box_of[source]].append(place)
        else:
            box_of[place] = len(boxes)
            boxes.append([place])
    return _regrouped(seen, [Box(tuple(parts)) for parts in boxes])


def _stands_alone(part: Part) -> bool:
    ends = part.kind in (INPUT, OUTPUT)
    looks_up = part.parameters > 0 and "orm" not in part.kind and "PReLU" not in part.kind
    return ends or looks_up or part.multiply_adds > 0 or part.kind in _JOINS or part.calls > 1


def _contained(seen: Structure, whole: Folded, depth: int) -> Folded:
    """Fold what lies deeper than `depth` into the container that holds it there."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, box in enumerate(whole.boxes):
        names = seen.parts[box.parts[0]].home.split(".")
        deep = len(names) > depth and seen.parts[box.parts[0]].home != ""
        key = (".".join(names[: depth + 1]), -1) if deep else ("", place)
        groups.setdefault(key, []).extend(box.parts)
    boxes = [Box(tuple(sorted(parts)), container) for (container, _), parts in groups.items()]
    return _regrouped(seen, sorted(boxes, key=lambda box: box.parts[0]))


def _regrouped(seen: Structure, boxes: list[Box]) -> Folded:
    box_of = {part: place for place, box in enumerate(boxes) for part in box.parts}
    return Folded(tuple(boxes), _mapped(seen.edges, box_of.get))


def _mapped(
    edges: Iterable[tuple[int, int]], to: Callable[[int], int | None]
) -> tuple[tuple[int, int], ...]:
    """Return the arrows between what places lead to, but those of one to itself."""
    pairs = {(to(a), to(b)) for a, b in edges}
    return tuple(sorted((a, b) for a, b in pairs if a is not None and b is not None and a != b))


def _neighbours(
    edges: Iterable[tuple[int, int]],
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    into: dict[int, list[int]] = {}
    out: dict[int, list[int]] = {}
    for a, b in edges:
        into.setdefault(b, []).append(a)
        out.setdefault(a, []).append(b)
    return into, out


def _look(seen: Structure, box: Box) -> tuple[Any, ...]:
    """Return what boxes alike have in common."""
    parts = [seen.parts[place] for place in box.parts]
    return (
        tuple(part.kind for part in parts),
        parts[-1].outputs,
        sum(part.parameters for part in parts),
        box.times,
    )


def _twins_once(seen: Structure, now: Folded) -> Folded:
    """Draw boxes alike that stand side by side, between the same boxes, once."""
    into, out = _neighbours(now.edges)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, box in enumerate(now.boxes):
        between = tuple(into.get(place, ())), tuple(out.get(place, ()))
        lone = place if not between[0] and not between[1] else -1
        groups.setdefault((_look(seen, box), between, lone), []).append(place)
    keep = {places[0]: len(places) for places in groups.values()}
    kept = sorted(keep)
    number = {place: index for index, place in enumerate(kept)}
    first = {place: places[0] for places in groups.values() for place in places}
    boxes = tuple(replace(now.boxes[place], times=keep[place]) for place in kept)
    return Folded(boxes, _mapped(now.edges, lambda place: number[first[place]]))


def _runs_once(seen: Structure, now: Folded) -> Folded:
    """Draw runs of boxes that repeat, each fed by the one before, once."""
    into, out = _neighbours(now.edges)
    numbers: dict[tuple[Any, ...], int] = {}
    looks = []
    for place, box in enumerate(now.boxes):
        sources = tuple(sorted(_source(place, source) for source in into.get(place, ())))
        looks.append(numbers.setdefault((_look(seen, box), sources), len(numbers)))
    places: dict[int, int] = {}
    turns: dict[int, tuple[int, int]] = {}
    kept: list[int] = []
    runs: list[Run] = []
    start = 0
    while start < len(looks):
        period, times = _longest_repeat(looks, start, into, out)
        if times > 1:
            last = start + period * (times - 1)
            ends = _homes(seen, now, start, period), _homes(seen, now, last, period)
            runs.append(Run(len(kept), len(kept) + period - 1, times, ends))
        for offset in range(period * times):
            places[start + offset] = len(kept) + offset % period
            turns[start + offset] = start, offset // period
        kept.extend(range(start, start + period))
        start += period * times

    def within(a: int, b: int) -> bool:
        """Tell whether an arrow does not lead from one repeat to the next."""
        return turns[a][0] != turns[b][0] or turns[a][1] == turns[b][1]

    edges = _mapped((pair for pair in now.edges if within(*pair)), places.__getitem__)
    return Folded(tuple(now.boxes[place] for place in kept), edges, tuple(runs))


def _source(place: int, source: int) -> tuple[str, int]:
    """Return where a box gets something from: so many boxes before, or from one far away."""
    distance = place - source
    return ("before", distance) if 0 < distance <= LONGEST_REPEAT else ("from", source)


def _longest_repeat(
    looks: Sequence[int],
    start: int,
    into: dict[int, list[int]],
    out: dict[int, list[int]],
) -> tuple[int, int]:
    """Return the length and number of the repeats from `start` that save the most boxes."""
    best, saved = (1, 1), 0
    for period in range(1, min(LONGEST_REPEAT, (len(looks) - start) // 2) + 1):
        if looks[start] != looks[start + period]:
            continue
        times = 1
        pattern = looks[start : start + period]
        while looks[start + period * times : start + period * (times + 1)] == pattern:
            times += 1
        times = _chained(start, period, times, into, out)
        if (times - 1) * period > saved:
            best, saved = (period, times), (times - 1) * period
    return best


def _chained(
    start: int, period: int, times: int, into: dict[int, list[int]], out: dict[int, list[int]]
) -> int:
    """Return how many repeats from `start` feed the next alone, and leave as the last one does."""
    carry = {
        place - start
        for place in range(start, start + period)
        if any(target >= start + period for target in out.get(place, ()))
    }
    for turn in range(times):
        own = start + turn * period
        end = own + period
        sources = [(s, place) for place in range(own, end) for s in into.get(place, ())]
        if any(start <= s < own - period or s > place for s, place in sources):
            return turn
        leaving = [(p - own, t) for p in range(own, end) for t in out.get(p, ()) if t >= end]
        last = turn == times - 1 or any(target >= end + period for _, target in leaving)
        if last:
            return turn + 1 if {place for place, _ in leaving} <= carry else turn
    return times


def _homes(seen: Structure, now: Folded, start: int, period: int) -> str:
    """Return the longest dotted name that all parts of a run share; else its first part's."""
    names = [
        seen.parts[part].name.split(".")
        for box in now.boxes[start : start + period]
        for part in box.parts
        if seen.parts[part].name
    ]
    shared = 0
    while all(len(name) > shared and name[shared] == names[0][shared] for name in names):
        shared += 1
    return ".".join(names[0][: max(shared, 1)]) if shared else ".".join(names[0])


def _ends_only(now: Folded, most: int) -> Folded:
    """Keep the first and the last boxes of what can't be folded otherwise."""
    head, tail = most // 2, most - most // 2 - 1
    cut = len(now.boxes) - tail
    middle = Box(tuple(part for box in now.boxes[head:cut] for part in box.parts))
    boxes = (*now.boxes[:head], middle, *now.boxes[cut:])

    def to(place: int) -> int:
        return place if place < head else head if place < cut else place - cut + head + 1

    return Folded(boxes, _mapped(now.edges, to), (), left_out=cut - head)
