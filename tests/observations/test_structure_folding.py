"""Networks folded for drawing: nothing lost, nothing invented, never too many boxes."""

import pytest

from auditor.observations.structure import Part, Structure
from auditor.observations.structure_folding import MOST_BOXES, folded
from auditor.observations.structure_graph import graph_of


def part(name, kind, shape="N×4", parameters=0, cost=0.0):
    home = name.rpartition(".")[0]
    return Part(name, kind, home, (shape,), (shape,), parameters, 4 * parameters, cost)


def network(parts, edges=None):
    """Return a chain of parts between input and output, or one with the edges given."""
    every = (part("input", "input"), *parts, part("output", "output"))
    pairs = [(i, i + 1) for i in range(len(every) - 1)] if edges is None else edges
    return Structure(every, tuple(sorted(pairs)), (), None, 0.0)


def linear(name, shape="N×4"):
    return part(name, "Linear", shape, 20, 16.0)


def names(seen, found):
    return [[seen.parts[place].name for place in box.parts] for box in found.boxes]


def test_what_follows_a_layer_stands_in_its_box():
    seen = network([linear("a"), part("norm", "BatchNorm1d", parameters=8), part("r", "ReLU"),
                    linear("b")])  # fmt: skip
    found = folded(seen)
    assert names(seen, found) == [["input"], ["a", "norm", "r"], ["b"], ["output"]]
    assert found.edges == ((0, 1), (1, 2), (2, 3))


def test_a_skip_connection_stays_an_arrow():
    seen = network(
        [linear("a"), part("r", "ReLU"), linear("b"), part("+", "+"), part("r2", "ReLU")],
        [(0, 1), (1, 2), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6)],
    )
    found = folded(seen)
    assert names(seen, found) == [["input"], ["a"], ["r"], ["b"], ["+", "r2"], ["output"]]
    assert (1, 4) in found.edges
    plain = network([linear("a"), part("r", "ReLU"), linear("b")])
    assert all(b - a == 1 for a, b in folded(plain).edges)


def blocks(count, width=3):
    """Return a residual network of `count` blocks: two layers beside a shortcut each."""
    parts, edges, last = [linear("enter")], [(0, 1)], 1
    for block in range(count):
        a = len(parts) + 1
        parts += [linear(f"body.{block}.a"), part(f"body.{block}.r", "ReLU"),
                  linear(f"body.{block}.b"), part(f"body.{block}.+", "+")]  # fmt: skip
        edges += [(last, a), (a, a + 1), (a + 1, a + 2), (a + 2, a + 3), (last, a + 3)]
        last = a + 3
    parts.append(linear("leave"))
    edges += [(last, len(parts)), (len(parts), len(parts) + 1)]
    return network(parts, edges)


@pytest.mark.parametrize("count", [14, 100, 1000])
def test_blocks_alike_are_drawn_once_with_their_number(count):
    seen = blocks(count)
    found = folded(seen)
    assert names(seen, found) == [["input"], ["enter"], ["body.0.a", "body.0.r"], ["body.0.b"],
                                  ["body.0.+"], ["leave"], ["output"]]  # fmt: skip
    assert found.edges == ((0, 1), (1, 2), (1, 4), (2, 3), (3, 4), (4, 5), (5, 6))
    (run,) = found.runs
    assert (run.first, run.last, run.times) == (2, 4, count)
    assert run.ends == ("body.0", f"body.{count - 1}")


def test_few_blocks_are_drawn_one_by_one():
    seen = blocks(5)
    assert folded(seen).runs == ()
    assert sum(len(box.parts) for box in folded(seen).boxes) == len(seen.parts)


def test_blocks_of_another_shape_are_no_repeat():
    seen = network([linear(str(i), f"N×{i}") for i in range(30)])
    assert folded(seen).runs == ()
    assert len(folded(seen).boxes) == 32


def test_a_connection_out_of_a_repeat_forbids_to_fold_it():
    seen = blocks(30)
    inside = next(i for i, one in enumerate(seen.parts) if one.name == "body.10.b")
    leave = next(i for i, one in enumerate(seen.parts) if one.name == "leave")
    tapped = Structure(seen.parts, tuple(sorted((*seen.edges, (inside, leave)))), (), None, 0.0)
    found = folded(tapped)
    of = {place: index for index, box in enumerate(found.boxes) for place in box.parts}
    assert len(found.boxes) <= MOST_BOXES
    assert (of[inside], of[leave]) in found.edges


def test_containers_hold_what_is_too_much():
    parts = [linear(f"stage{i // 20}.layer{i % 20}.x{i}", f"N×{i}") for i in range(100)]
    seen = network(parts)
    found = folded(seen)
    assert len(found.boxes) <= MOST_BOXES
    assert {box.container for box in found.boxes} >= {f"stage{i}" for i in range(5)}
    assert sum(len(box.parts) for box in found.boxes) == len(seen.parts)


def test_boxes_alike_side_by_side_are_drawn_once():
    experts = [linear(f"experts.{i}") for i in range(64)]
    edges = [(0, 1), *((1, i) for i in range(2, 66)), *((i, 66) for i in range(2, 66)), (66, 67)]
    seen = network([linear("router"), *experts, part("+", "+")], edges)
    found = folded(seen)
    assert [box.times for box in found.boxes] == [1, 1, 64, 1, 1]
    assert found.edges == ((0, 1), (1, 2), (2, 3), (3, 4))


def test_what_can_t_be_folded_is_cut_in_the_middle():
    seen = network([linear(str(i), f"N×{i}") for i in range(1000)])
    found = folded(seen)
    assert len(found.boxes) == MOST_BOXES
    assert found.left_out == 1002 - 39
    assert "boxes in the middle are left out" in graph_of(seen).caption


def test_the_graph_says_what_its_boxes_are():
    graph = graph_of(blocks(100))
    assert [node.name for node in graph.nodes] == ["input", "enter", "body.0.a", "body.0.b", "+",
                                                   "leave", "output"]  # fmt: skip
    assert graph.nodes[2].note == "Linear + ReLU"
    assert graph.nodes[4].note == "body.0"
    assert [node.marked for node in graph.nodes].count(True) == 1
    assert graph.repeats[0].times == 100
    assert graph.repeats[0].label == "body.0 … body.99"
    assert graph.nodes[0].end
    assert graph.nodes[-1].end


def test_a_way_back_is_told_and_not_lost():
    seen = network([linear("a"), linear("b")], [(0, 1), (1, 2), (2, 1), (2, 3)])
    assert "1 connection back to an earlier layer" in graph_of(seen).caption
