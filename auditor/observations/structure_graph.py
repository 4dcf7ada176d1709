"""The drawn graph of a network: what its boxes say."""

from auditor.core.figure import Graph, Node, Repeat
from auditor.core.text import clean_text, counted
from auditor.observations.structure import INPUT, OUTPUT, Part, Structure
from auditor.observations.structure_folding import Box, Folded, Run, folded


def graph_of(seen: Structure) -> Graph:
    """Return the network as boxes and arrows, folded where it is large."""
    shown = folded(seen)
    times = [1] * len(shown.boxes)
    for run in shown.runs:
        times[run.first : run.last + 1] = [run.times] * (run.last + 1 - run.first)
    costs = [
        count * box.times * sum(seen.parts[place].multiply_adds for place in box.parts)
        for box, count in zip(shown.boxes, times, strict=True)
    ]
    dearest = max(range(len(costs)), key=costs.__getitem__) if any(costs) else -1
    return Graph(
        title="The network",
        caption=_caption(seen, shown, costs[dearest] / sum(costs) if dearest >= 0 else 0.0),
        nodes=tuple(
            _node(seen, shown, box, place == dearest) for place, box in enumerate(shown.boxes)
        ),
        edges=shown.edges,
        repeats=tuple(
            Repeat(run.first, run.last, run.times, clean_text(_label(run), 80))
            for run in shown.runs
        ),
    )


def _caption(seen: Structure, shown: Folded, share: float) -> str:
    forward = [(a, b) for a, b in seen.edges if a < b]
    said = "Each box is a layer with what directly follows it; at its right the shape of one "
    said += "example's output. Look for connections that are missing or lead past a layer."
    if share:
        said += (
            f" The coloured box takes the largest part of the multiply-adds, {100 * share:.0f} %."
        )
    if shown.runs:
        said += " What repeats is drawn once, with the number of times beside it."
    if any(box.container for box in shown.boxes):
        said += " Inner layers are folded into the module that holds them."
    if shown.left_out:
        said += f" {shown.left_out:,} boxes in the middle are left out."
    if len(forward) < len(seen.edges):
        back = len(seen.edges) - len(forward)
        said += f" {counted(back, 'connection')} back to an earlier layer not drawn."
    return said


def _label(run: Run) -> str:
    first, last = run.ends
    return first if first == last else f"{first} … {last}"


def _node(seen: Structure, shown: Folded, box: Box, marked: bool) -> Node:
    parts = [seen.parts[place] for place in box.parts]
    first, last = parts[0], parts[-1]
    aside = clean_text(_one_example(last.outputs[0]) if last.outputs else "", 40)
    if first.kind in (INPUT, OUTPUT):
        shape = first.outputs or first.inputs
        return Node(first.name, "", _one_example(shape[0]) if shape else "", end=True)
    if shown.left_out and len(parts) > shown.left_out - 1 and not box.container:
        return Node("…", f"{shown.left_out:,} boxes more", aside, marked)
    name, note = _words(parts)
    if box.container:
        held = sum(part.parameters for part in parts)
        name = box.container
        note = f"{counted(len(parts), 'layer')}, {counted(held, 'parameter')}"
    if box.times > 1:
        name = f"{name} and {box.times - 1:,} beside it"
    return Node(clean_text(name, 120), clean_text(note, 120), aside, marked)


def _words(parts: list[Part]) -> tuple[str, str]:
    """Return the name of a box and what it does."""
    first = parts[0]
    kinds = [part.kind for part in parts]
    what = " + ".join(dict.fromkeys(kinds))
    own = first.name.rpartition(".")[2].partition(", call ")[0] == first.kind
    if own and len(first.kind) <= 6:
        # A sign that joins several, such as + or concat.
        then = " + ".join(dict.fromkeys(kinds[1:]))
        if then and not first.home:
            return first.kind, f"then {then}"
        return f"{first.kind} then {then}" if then else first.kind, first.home
    if own:
        return first.home or what, what
    return first.name, what + (f", called {first.calls:,} times" if first.calls > 1 else "")


def _one_example(shape: str) -> str:
    return shape.removeprefix("N×")
