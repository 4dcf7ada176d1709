"""Graphs: boxes apart, arrows that lead where they should, the same every time."""

import re
import xml.etree.ElementTree as ET

import pytest

from auditor.core.figure import Graph, Node, Repeat
from auditor.report.plots.draw import draw
from auditor.report.plots.graph_layout import BOX, laid_out
from auditor.report.plots.svg import WIDTH
from auditor.report.tables import numbers_of
from auditor.report.theme import PRINT, SCREEN


def chain(count, skip=0):
    edges = [(i, i + 1) for i in range(count - 1)]
    if skip:
        edges += [(i, i + skip) for i in range(0, count - skip, skip)]
    nodes = tuple(Node(f"layer{i}.conv", "Conv2d + ReLU", "16×8×8") for i in range(count))
    return Graph("t", "c", nodes, tuple(edges))


def fan(count):
    nodes = tuple(Node(f"n{i}") for i in range(count + 2))
    edges = [(0, i) for i in range(1, count + 1)] + [(i, count + 1) for i in range(1, count + 1)]
    return Graph("t", "c", nodes, tuple(edges))


dense = Graph("t", "c", chain(30).nodes, tuple((i, j) for j in range(30) for i in range(j)))
CASES = {
    "one": chain(1),
    "chain": chain(8),
    "residual": chain(12, skip=3),
    "columns": chain(40, skip=4),
    "fan": fan(4),
    "wide fan": fan(23),
    "dense": dense,
    "loose": Graph("t", "c", tuple(Node(str(i)) for i in range(7)), ()),
}


def overlapping(spots):
    return [
        (a, b)
        for n, a in enumerate(spots)
        for b in spots[:n]
        if a.x < b.x + b.width - 0.1 and b.x < a.x + a.width - 0.1 and abs(a.y - b.y) < BOX - 0.1
    ]


@pytest.mark.parametrize("graph", CASES.values(), ids=CASES)
def test_boxes_keep_apart_and_inside(graph):
    layout = laid_out(graph, WIDTH)
    assert not overlapping(layout.spots)
    for spot in layout.spots:
        assert spot.x >= 0
        assert spot.x + spot.width <= WIDTH
        assert 0 <= spot.y <= layout.height - BOX
        assert spot.width > 60


@pytest.mark.parametrize("graph", CASES.values(), ids=CASES)
def test_arrows_start_and_end_at_their_boxes_and_stay_inside(graph):
    layout = laid_out(graph, WIDTH)
    assert {route.edge for route in layout.routes} == set(graph.edges)
    for route in layout.routes:
        for node, (x, y) in zip(route.edge, (route.points[0], route.points[-1]), strict=True):
            spot = layout.spots[node]
            assert spot.x - 0.1 <= x <= spot.x + spot.width + 0.1
            assert spot.y - 0.1 <= y <= spot.y + BOX + 0.1
        assert all(0 <= x <= WIDTH and 0 <= y <= layout.height for x, y in route.points)


@pytest.mark.parametrize("name", ["residual", "columns", "fan"])
def test_arrows_cross_no_box(name):
    layout = laid_out(CASES[name], WIDTH)
    for route in layout.routes:
        for (x0, y0), (x1, y1) in zip(route.points, route.points[1:], strict=False):
            for node, spot in enumerate(layout.spots):
                if node in route.edge:
                    continue
                apart = (
                    max(x0, x1) <= spot.x
                    or min(x0, x1) >= spot.x + spot.width
                    or max(y0, y1) <= spot.y
                    or min(y0, y1) >= spot.y + BOX
                )
                assert apart, (route, node)


def test_an_arrow_past_a_box_goes_around_it_and_a_plain_chain_has_none():
    assert all(len(route.points) == 2 for route in laid_out(chain(8), WIDTH).routes)
    skips = [r for r in laid_out(chain(8, skip=3), WIDTH).routes if r.edge[1] - r.edge[0] > 1]
    assert skips
    for route in skips:
        right = max(spot.x + spot.width for spot in laid_out(chain(8, skip=3), WIDTH).spots)
        assert max(x for x, _ in route.points) > right


def test_a_page_holds_the_most_boxes_that_are_drawn():
    assert laid_out(chain(40, skip=4), WIDTH).height < 930


@pytest.mark.parametrize("theme", [SCREEN, PRINT], ids=["screen", "paper"])
def test_draws_the_same_bytes_twice_with_its_names(theme):
    first = draw(CASES["columns"], theme)
    assert first == draw(CASES["columns"], theme)
    root = ET.fromstring(first.svg)
    text = " ".join("".join(t.itertext()) for t in root.iter() if t.tag.endswith("text"))
    assert "layer39.conv" in text
    assert "16×8×8" in text
    assert 'role="img"' in first.svg


def test_marked_boxes_ends_and_repeats_look_different():
    nodes = (Node("in", end=True), Node("a", marked=True), Node("b"), Node("out", end=True))
    graph = Graph("t", "c", nodes, ((0, 1), (1, 2), (2, 3)), (Repeat(1, 2, 12, "x.0 … x.11"),))
    svg = draw(graph).svg
    assert svg.count("var(--mark)") >= 3
    assert "stroke-dasharray" in svg
    assert "× 12" in svg
    assert "× 12" not in draw(Graph("t", "c", nodes, graph.edges)).svg


def test_names_are_cut_to_their_boxes():
    nodes = (Node("x" * 5000, "y" * 5000, "z" * 5000), Node("out"))
    svg = draw(Graph("t", "c", nodes, ((0, 1),))).svg
    assert max(map(len, re.findall(r">([^<]*)</text>", svg))) < 60


def test_odd_arrows_do_no_harm():
    graph = Graph("t", "c", (Node("a"), Node("b")), ((1, 0), (0, 0), (0, 7), (-1, 1), (0, 1)))
    assert [route.edge for route in laid_out(graph, WIDTH).routes] == [(0, 1)]
    assert draw(Graph("t", "c", (), ())).svg


def test_repeats_of_boxes_that_are_not_there_do_no_harm():
    nodes = (Node("a"), Node("b"))
    for repeat in (Repeat(5, 1, 3), Repeat(-3, 9, 2), Repeat(0, 2, 2)):
        graph = Graph("g", "", nodes, ((0, 1),), (repeat,))
        assert draw(graph) == draw(Graph("g", "", nodes, ((0, 1),)))
        assert numbers_of(graph).rows


def test_the_numbers_behind_tell_what_feeds_what():
    rows = numbers_of(chain(4, skip=2)).rows
    assert rows[2] == ("layer2.conv", "Conv2d + ReLU", "16×8×8", "layer0.conv, layer1.conv")
    assert rows[0][3] == "–"
