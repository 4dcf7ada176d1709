"""The model map: every layer by depth, the place of each fault, and nothing lost on the way."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest
from map_records import DEAD, WEIGHTS, layers, record_of
from report_parsing import Page
from report_records import HOSTILE

from auditor.api import judge_folder
from auditor.core.finding import Limit, Metric, Place
from auditor.core.layer import LayerFacts
from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.report.html import render_html
from auditor.report.map.rows import MOST
from auditor.report.map.shapes import PAPER, WIDE, Drawing
from auditor.report.map.view import MapView
from auditor.report.page import Medium, render_page
from auditor.report.theme import PRINT, paper_colours
from auditor.report.view import view_page

GOLDEN = Path(__file__).parents[1] / "golden"
PAGE = 1080
"""Units of a drawing on paper that stand on one A4 page between its margins."""


def map_of(record: AuditRecord) -> MapView:
    view = view_page(record).map
    assert view is not None
    return view


def words(drawing: Drawing) -> list[str]:
    return [text.text for text in drawing.texts]


def beside(drawing: Drawing, name: str) -> list[str]:
    """Return the words in the row of a layer, from left to right."""
    at = next(text.y for text in drawing.texts if text.text == name)
    row = [text for text in drawing.texts if abs(text.y - at) < 1]
    return [text.text for text in sorted(row, key=lambda text: text.x)]


def section_of(page: str) -> str:
    found = re.search(r'<section class="map".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def paper(record: AuditRecord) -> str:
    medium = Medium(PRINT, paper_colours(), ("tokens.css", "paper.css", "map.css"), folds=False)
    return render_page(record, medium)


@pytest.mark.parametrize("many", [1, 2, 10, MOST, MOST + 1, 1000, 3000])
def test_it_works_for_few_layers_and_for_many(many):
    record = record_of(many)
    view = map_of(record)
    for pieces in (view.wide, view.narrow, view.paper):
        for piece in pieces:
            assert 0 < piece.height < 1500
            for text in piece.texts:
                assert -1 <= text.x <= piece.width
                assert 0 < text.y <= piece.height
    assert view.summary.startswith(f"{many:,} layer")
    parsed = Page(section_of(render_html(record)))
    assert parsed.unbalanced == []
    assert parsed.open == []


def test_without_layers_there_is_no_map():
    record = record_of(())
    assert view_page(record).map is None
    assert 'id="map"' not in render_html(record)


def test_layers_stand_by_depth_with_their_type_and_shape():
    record = record_of(10)
    (drawing,) = map_of(record).wide
    names = [layer.name for layer in record.layers]
    height = {text.text: text.y for text in drawing.texts if text.text in names}
    assert sorted(height, key=height.__getitem__) == names
    assert beside(drawing, "blocks.0.fc") == ["blocks.0.fc", "Linear", "64"]


def test_verdicts_stand_at_their_layers_with_icon_word_and_number():
    (drawing,) = map_of(record_of(10)).wide
    assert beside(drawing, "blocks.1.act")[3:] == ["Failed", "1"]
    assert beside(drawing, "blocks.1.fc")[3:] == ["Failed", "1"]
    assert beside(drawing, "blocks.2.fc")[3:] == ["Warning", "2"]
    assert beside(drawing, "blocks.3.fc")[3:] == []
    assert [icon.verdict for icon in drawing.icons] == ["fail", "fail", "warn"]


def test_a_mark_leads_to_its_finding():
    record = record_of(10)
    page = Page(section_of(render_html(record)))
    ids = {finding.id for section in view_page(record).sections for finding in section.open}
    assert {"#finding-dead-units", "#finding-weights-degenerate"} <= set(page.values("href"))
    assert {link.target for link in map_of(record).wide[0].links} <= ids


def test_the_worst_verdict_wins_and_waived_or_passed_findings_mark_nothing():
    warns = replace(WEIGHTS, where=DEAD.where)
    waived = replace(DEAD, check="a", waived="on purpose")
    passed = replace(DEAD, check="b", verdict=Verdict.PASS)
    noted = replace(DEAD, check="c", verdict=Verdict.INFO)
    view = map_of(record_of(10, warns, DEAD, waived, passed, noted))
    assert view.content.marks[3].verdict is Verdict.FAIL
    assert view.content.marks[3].numbers == (1, 2)
    assert [entry.finding.check for entry in view.entries] == ["dead-units", "weights-degenerate"]


def test_a_container_stands_for_the_layers_in_it_and_a_parameter_for_its_layer_alone():
    places = (Place("layer", "blocks.2"), Place("parameter", "blocks.3.fc.weight"))
    view = map_of(record_of(10, replace(DEAD, where=places)))
    assert list(view.content.marks) == [4, 5, 6]


@pytest.mark.parametrize(
    ("place", "row"),
    [
        (Place("parameter", "attention.out_proj.weight"), 0),
        (Place("layer", "body.relu()"), 1),
        (Place("layer", "body.relu"), 1),
        (Place("parameter", "scale"), 2),
    ],
)
def test_names_meet_their_layers_however_they_are_written(place, row):
    known = tuple(LayerFacts(name) for name in ("attention", "body.relu", "(model)"))
    assert list(map_of(record_of(known, replace(DEAD, where=(place,)))).content.marks) == [row]


def test_a_place_that_is_no_layer_is_not_lost():
    record = record_of(10, DEAD, WEIGHTS, replace(WEIGHTS, check="x", where=WEIGHTS.where[1:]))
    view = map_of(record)
    assert view.entries[1].elsewhere == ("elsewhere.weight",)
    assert [entry.elsewhere for entry in view.beside] == [("elsewhere.weight",)]
    text = Page(section_of(render_html(record))).text
    assert "not on the map: elsewhere.weight" in text
    assert "Not on the map: elsewhere.weight" in text


def test_findings_of_causes_come_first_and_their_layers_are_shaded():
    view = map_of(record_of(10, DEAD, WEIGHTS, causes=("weights-degenerate",)))
    assert [entry.finding.check for entry in view.entries] == ["weights-degenerate", "dead-units"]
    assert [entry.cause for entry in view.entries] == [True, False]
    (drawing,) = view.wide
    shaded = [path for path in drawing.paths if path.filled and path.opacity < 1]
    assert [path.role for path in shaded] == ["warn"]
    assert "Shaded" in view.caption
    assert "Shaded" not in map_of(record_of(10)).caption


def test_what_was_not_measured_has_no_column_and_is_named():
    bare = tuple(replace(layer, gradient=None, update=None) for layer in layers(10))
    record = record_of(bare, DEAD, replace(WEIGHTS, check="vanishing-gradients"))
    view = map_of(record)
    assert [column.quantity.kind for column in view.content.columns] == ["activation", "dead"]
    assert not {"gradient", "update"} & set(words(view.wide[0]))
    assert [(item.check, item.target) for item in view.unmeasured] == [
        ("vanishing-gradients", "finding-vanishing-gradients"),
        ("update-ratio-off", ""),
    ]
    assert "Not measured in this audit: gradients, update ratios (update-ratio-off)" in Page(
        section_of(render_html(record))
    ).text.replace("\n", " ")


def test_weights_alone_have_a_map_of_names_and_verdicts():
    known = tuple(LayerFacts(layer.name, ran=False) for layer in layers(10))
    view = map_of(record_of(known))
    assert view.content.columns == ()
    assert view.caption.startswith("In the order of the checkpoint")
    assert beside(view.wide[0], "blocks.1.act")[-2:] == ["Failed", "1"]


def test_zero_and_what_is_not_finite_have_their_own_signs():
    known = (
        LayerFacts("a", activation=1.0, gradient=0.0),
        LayerFacts("b", activation=float("nan"), gradient=float("inf")),
        LayerFacts("c", activation=1e300, gradient=1e-300),
    )
    view = map_of(record_of(known))
    activation, gradient = view.content.columns
    assert [activation.edge(value) for value in activation.values] == ["", "lost", ""]
    assert [gradient.edge(value) for value in gradient.values] == ["zero", "lost", ""]
    assert "exactly zero" in view.caption
    assert "not finite" in view.caption
    assert "nan" not in section_of(render_html(record_of(known))).split("</svg>")[0]


def test_limits_of_the_audit_are_drawn():
    fade = Metric("fade from last to first layers", 5.0, "times", limit=Limit(1e2, 1e4))
    gradients = replace(WEIGHTS, check="vanishing-gradients", metrics=(fade,))
    view = map_of(record_of(10, DEAD, gradients))
    guides = {c.quantity.kind: [(g.value, g.severity) for g in c.guides]
              for c in view.content.columns}  # fmt: skip
    assert guides["dead"] == [(0.25, "warn"), (0.5, "fail")]
    assert guides["activation"] == [(1.0, "reference")]
    assert guides["update"] == [(1e-3, "reference")]
    assert [severity for _, severity in guides["gradient"]] == ["warn", "fail"]
    assert guides["gradient"][0][0] == pytest.approx(100 * guides["gradient"][1][0])


@pytest.mark.parametrize("many", [30, 100])
def test_names_from_a_checkpoint_can_do_nothing(many):
    names = [*HOSTILE, *(f"layer.{place}" for place in range(many))][:many]
    known = tuple(LayerFacts(name, name, name, activation=1.0) for name in names)
    places = tuple(Place("layer", name) for name in names)
    record = record_of(known, replace(DEAD, where=places))
    page = section_of(render_html(record))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    parsed = Page(page)
    assert parsed.unbalanced == []
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert len(map_of(record).content.marks) == many
    assert len(page) < 400_000


def test_every_layer_with_a_verdict_is_called_out_among_a_thousand():
    where = tuple(Place("layer", f"blocks.{block}.fc") for block in range(10, 24))
    record = record_of(1000, DEAD, replace(WEIGHTS, where=where))
    (drawing,) = map_of(record).wide
    assert "blocks.1.fc … act (2 layers)" in words(drawing)
    assert "blocks.10–23 (14 layers)" in words(drawing)
    assert "Failed 1: Rectified units are dead" in words(drawing)
    assert len(drawing.icons) == len(drawing.links) == 2


def test_an_outlier_among_thousands_is_drawn():
    known = list(layers(5000))
    known[3333] = replace(known[3333], dead=0.97)
    (drawing,) = map_of(record_of(tuple(known))).wide
    bars = next(path for path in drawing.paths if path.role == "mark" and "H" in path.d)
    tops = [float(end) - float(start) for start, end in
            re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", bars.d)]  # fmt: skip
    assert sum(top > 0.9 * max(tops) for top in tops) == 2


def test_where_nothing_is_called_out_the_columns_take_the_room():
    fine = replace(WEIGHTS, verdict=Verdict.PASS)
    called, free = (map_of(record_of(1000, finding)).wide[0] for finding in (DEAD, fine))
    assert not free.links
    assert max(text.x for text in free.texts) > WIDE.width - WIDE.callouts
    assert max(text.x for text in called.texts if text.bold and text.text == "update") < max(
        text.x for text in free.texts if text.text == "update"
    )


def test_a_drawing_for_paper_stands_on_a_page():
    for many in (1, 44, 45, 60, 61, 1000):
        pieces = map_of(record_of(many)).paper
        assert all(piece.height <= PAGE - 130 for piece in pieces)
        assert all(piece.width == PAPER.width for piece in pieces)
    assert len(map_of(record_of(60)).paper) == 2
    page = Page(section_of(paper(record_of(60))))
    pictures = [src for src in page.values("src") if "svg" in src]
    drawn = [base64.b64decode(src.partition(",")[2]).decode() for src in pictures]
    assert sum('class="plot"' in svg for svg in drawn) == 2
    assert not any("var(" in svg for svg in drawn)


def test_the_page_has_no_styles_in_attributes_and_needs_no_colour_alone():
    for many in (10, 100):
        page = section_of(render_html(record_of(many)))
        assert "style=" not in page
        assert "aria-label=" in page
        assert "Rectified units are dead" in page


def test_the_numbers_stand_behind_a_fold():
    few, many = map_of(record_of(10)).numbers, map_of(record_of(1000)).numbers
    assert len(few.rows) == 10
    assert few.columns[:5] == ("layer", "type", "output", "parameters", "verdict")
    assert {"blocks.1.act", "blocks.1.fc", "blocks.2.fc"} <= {row[0] for row in many.rows}
    assert "of 1,000 layers" in many.note


def test_equal_records_give_equal_bytes_of_bearable_size():
    for many in (60, 1000):
        first, second = (section_of(render_html(record_of(many))) for _ in range(2))
        assert first == second
        assert len(first.encode()) < 400_000


def test_the_dead_layer_of_the_broken_sample_shows_at_its_row():
    record = judge_folder(GOLDEN)
    (drawing,) = map_of(record).wide
    assert beside(drawing, "features.3.2")[3] == "Failed"
    assert [layer.name for layer in record.layers if layer.dead == 1.0] == ["features.3.2"]
    assert map_of(record).entries[0].finding.check == "dead-units"
    strip = next(path for path in drawing.paths if path.role == "mark")
    height = float(re.findall(r"M[\d.]+ ([\d.]+)h", strip.d)[0])
    name = next(text for text in drawing.texts if text.text == "features.3.2")
    assert abs(name.y - height) < 8
    assert "at features.3.2" in re.sub(r"\s+", " ", Page(section_of(render_html(record))).text)
