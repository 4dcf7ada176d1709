"""What a page shows of one finding."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from auditor.core.advice import LONGEST_LINE, MOST_LINES, parts
from auditor.core.figure import Figure, Images, Table
from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.report.images import ImageView, shown_image
from auditor.report.scale import Scale, scale_of
from auditor.report.tables import Plot, TableView, numbers_of, shown_table
from auditor.report.wording import WORDS, Span, interval, number, prose, rerun, spans

SHOWN_PLACES = 10
MOST_PLACES = 200
MOST_PICTURES = 64


@dataclass(frozen=True)
class MetricView:
    """One measure: its numbers in words, and its drawing where it has a limit."""

    name: str
    value: str
    interval: str
    limits: str
    source: str
    scale: Scale | None
    beyond: bool
    """Whether the value is beyond a limit."""


@dataclass(frozen=True)
class PlaceView:
    """One place in the subject."""

    kind: str
    name: str
    note: str


@dataclass(frozen=True)
class StepView:
    """A step of advice: its sentence and, where it has any, code to paste."""

    text: tuple[Span, ...]
    code: str = ""
    language: str = ""

    @property
    def alone(self) -> tuple[Span, ...]:
        """The sentence as it ends where its code is not shown."""
        *others, last = self.text or (Span(""),)
        if self.code and not last.code and last.text.endswith(":"):
            last = Span(f"{last.text[:-1]}.")
        return (*others, last)


@dataclass(frozen=True)
class FigureView:
    """A figure: a plot still to be drawn with its numbers, a table, or pictures."""

    id: str
    title: str
    caption: tuple[Span, ...]
    plot: Plot | None = None
    numbers: TableView | None = None
    table: TableView | None = None
    images: tuple[ImageView, ...] = ()
    columns: int = 4
    left: int = 0
    """Pictures that are not shown."""


@dataclass(frozen=True)
class FindingView:
    """A finding with everything in the order and words of the page."""

    check: str
    id: str
    verdict: Verdict
    word: str
    title: str
    summary: tuple[Span, ...]
    metrics: tuple[MetricView, ...]
    places: tuple[PlaceView, ...]
    more_places: tuple[PlaceView, ...]
    places_left: int
    why: tuple[Span, ...]
    advice: tuple[StepView, ...]
    figures: tuple[FigureView, ...]
    source: tuple[Span, ...]
    waived: tuple[Span, ...] | None
    waiver_note: tuple[Span, ...]
    """Why it counts although waivers speak of it; empty where none does."""
    rerun: str

    @property
    def alike(self) -> bool:
        """Return whether there are more than two places, of one kind and with one note."""
        said = {(place.kind, place.note) for place in (*self.places, *self.more_places)}
        return len(self.places) > 2 and len(said) == 1

    @property
    def all_places(self) -> int:
        """Count the places, those that no page shows too."""
        return len(self.places) + len(self.more_places) + self.places_left


class Ids:
    """Gives out ids that differ within one page."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._counts: dict[str, int] = {}

    def new(self, prefix: str, name: str = "") -> str:
        """Return an id made of a prefix and the harmless characters of a name."""
        plain = re.sub(r"[^a-z0-9]+", "-", name[:60].lower()).strip("-")
        wanted = f"{prefix}-{plain}" if plain else prefix
        id_ = wanted if plain else ""
        while not id_ or id_ in self._given:
            count = self._counts[wanted] = self._counts.get(wanted, 0) + 1
            id_ = f"{wanted}-n{count}"
        self._given.add(id_)
        return id_


def view_finding(finding: Finding, ids: Ids, again: Callable[[str], str] = rerun) -> FindingView:
    """Return what a page shows of a finding; `again` tells how to run its check alone."""
    places = tuple(map(_place, finding.where[:MOST_PLACES]))
    shown = SHOWN_PLACES if len(places) > SHOWN_PLACES + 2 else len(places)
    waived = None if finding.waived is None else spans(finding.waived)
    word = WORDS[finding.verdict]
    return FindingView(
        check=clean_text(finding.check, 80),
        id=ids.new("finding", finding.check),
        verdict=finding.verdict,
        word=word if waived is None else f"{word}, waived",
        title=prose(finding.title, 300),
        summary=spans(finding.summary),
        metrics=tuple(map(_metric, finding.metrics)),
        places=places[:shown],
        more_places=places[shown:],
        places_left=len(finding.where) - len(places),
        why=spans(finding.why),
        advice=tuple(map(view_step, finding.advice)),
        figures=tuple(_figure(figure, ids) for figure in finding.figures),
        source=spans(finding.source),
        waived=waived,
        waiver_note=spans(finding.waiver_note),
        rerun=again(finding.check),
    )


def view_step(advice: str) -> StepView:
    """Return what a page shows of a step of advice; its code is whole, or not there at all."""
    step = parts(advice)
    lines = step.code.split("\n")
    if not step.code or len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
        return StepView(spans(step.text))
    return StepView(spans(step.text), "\n".join(map(clean_text, lines)), step.language)


def _metric(metric: Metric) -> MetricView:
    return MetricView(
        name=prose(metric.name, 120),
        value=number(metric.value, metric.unit),
        interval=interval(metric.low, metric.high, metric.unit),
        limits=_limits(metric.limit, metric.unit) if metric.limit else "",
        source=prose(metric.limit.source, 600) if metric.limit else "",
        scale=scale_of(metric),
        beyond=_beyond(metric),
    )


def _beyond(metric: Metric) -> bool:
    if metric.limit is None or metric.value is None:
        return False
    return metric.limit.verdict(metric.value, metric.low, metric.high) is not Verdict.PASS


def _limits(limit: Limit, unit: str) -> str:
    levels = (("warns", limit.warn), ("fails", limit.fail))
    return ", ".join(
        f"{word} {limit.bad} {number(value, unit)}" for word, value in levels if value is not None
    )


def _place(place: Place) -> PlaceView:
    return PlaceView(place.kind, clean_text(place.name), prose(place.note, 300))


def _figure(figure: Figure, ids: Ids) -> FigureView:
    id_, title, caption = ids.new("figure"), prose(figure.title, 200), spans(figure.caption)
    match figure:
        case Table():
            return FigureView(id_, title, caption, table=shown_table(figure))
        case Images():
            return FigureView(
                id_,
                title,
                caption,
                images=tuple(map(shown_image, figure.images[:MOST_PICTURES])),
                columns=min(max(figure.columns, 1), 8),
                left=max(0, len(figure.images) - MOST_PICTURES),
            )
        case _:
            return FigureView(id_, title, caption, plot=figure, numbers=numbers_of(figure))
