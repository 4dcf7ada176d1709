"""How layers follow one another, read from the graph that autograd keeps of one pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_NODES = 200_000
"""Operations beyond which the graph is not gone through: half a second."""

NEAREST = 16
"""Layers kept of those that come straight before one: beside a residual stream there are many."""


@dataclass(frozen=True)
class LayerGraph:
    """`depths` counts the layers with weights on the longest path from the input to each layer,
    itself included; `edges` are pairs of layers with no other layer between them.
    """

    depths: Mapping[int, int]
    edges: frozenset[tuple[int, int]]


def layer_graph(root: Any, marks: Mapping[Any, int], counted: frozenset[int]) -> LayerGraph | None:
    """Return the graph of the layers behind the node `root`, None where it is too large.

    `marks` maps the node of each layer's output to the layer's index in the order of execution;
    only `counted` layers make depth. A layer that runs several times counts once.
    """
    done: dict[Any, tuple[int, tuple[int, ...]]] = {}
    depths: dict[int, int] = {}
    edges: set[tuple[int, int]] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        inner = [following for following, _ in node.next_functions if following is not None]
        waiting = [following for following in inner if following not in done]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        depth = max((done[following][0] for following in inner), default=0)
        before = _nearest([done[following][1] for following in inner])
        layer = marks.get(node)
        if layer is not None:
            edges |= {(earlier, layer) for earlier in before if earlier < layer}
            depth += layer in counted and layer not in depths
            depths.setdefault(layer, depth)
            before = (layer,)
        done[node] = depth, before
        if len(done) > MOST_NODES:
            return None
    return LayerGraph(depths, frozenset(edges))


def _nearest(groups: list[tuple[int, ...]]) -> tuple[int, ...]:
    if len(groups) == 1:
        return groups[0]
    return tuple(sorted({layer for group in groups for layer in group})[-NEAREST:])
