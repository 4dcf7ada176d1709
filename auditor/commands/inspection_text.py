"""What stands in a checkpoint, for a terminal: 80 columns wide, or as wide as there is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.commands.tensor_groups import TensorGroup, grouped, ungrouped
from auditor.core.text import clean_text, counted, listed
from auditor.intake.inspection import Inspection, Optimizer, Setting, Weights
from auditor.report.terminal_marks import Either, Hung, paragraph

MOST_LINES = 40
MOST_EXTRAS = 12
MOST_CLASSES = 12
INDENT = 2

NAMES = {
    "batch_size": "batch size",
    "clip_norm": "gradients clipped to",
    "rates": "learning rate",
}
"""How settings are called here, where not by their own names."""

UNTOLD = frozenset({"schedule_state"})
"""What stands in the line of another setting."""


def inspection_table(seen: Inspection, *, whole: bool = False) -> RenderableType:
    """Return what was seen of a checkpoint; unless `whole`, no more than fits a few screens."""
    parts: tuple[Sequence[RenderableType], ...] = (
        _opening(seen),
        _weights(seen, whole),
        _section("Training", _training(seen)),
        _section("Beside the weights", _cut(_extras(seen), MOST_EXTRAS, "value", whole)),
        _section("Files beside it that tell of training", [_line(listed(list(seen.beside), 12))])
        if seen.beside
        else (),
        _section(
            "Classes it asks for; nothing was made of them",
            _cut(map(_line, seen.classes), MOST_CLASSES, "class", whole, "classes"),
        ),
        _section("Notes", map(_line, map(_cleaned, seen.notes))),
    )
    shown: list[RenderableType] = []
    for part in filter(None, parts):
        shown += [Text(), *part] if shown else part
    return Group(*shown)


def _opening(seen: Inspection) -> list[RenderableType]:
    title = Text(f"{clean_text(seen.path, 200)}: ", style="bold")
    several = f" in {counted(len(seen.files), 'file')}" if len(seen.files) > 1 else ""
    title.append(f"{clean_text(seen.container, 80)}, {_bytes(seen.bytes)}{several}")
    return [Hung(Text(), title, 0), Text(f"sha256 {seen.sha256}", style="dim", overflow="fold")]


def _weights(seen: Inspection, whole: bool) -> list[RenderableType]:
    chosen = seen.chosen
    rows = ungrouped(chosen.tensors) if whole else grouped(chosen.tensors)
    shown = rows if whole else rows[:MOST_LINES]
    lines: list[RenderableType] = [
        Hung(Text(), Text(f"Weights {_place(chosen)}", style="bold"), 0),
        paragraph(_sums(chosen)),
        *(_other(other) for other in seen.others),
        Text(),
        Either(_tensors(shown), _narrow(shown)),
    ]
    left = sum(row.count for row in rows[len(shown) :])
    return [*lines, *_more(left, "tensor")]


def _sums(weights: Weights) -> str:
    types = list(dict.fromkeys(tensor.dtype for tensor in weights.tensors))
    return (
        f"{counted(weights.values, 'parameter')}, buffers among them, in "
        f"{counted(len(weights.tensors), 'tensor')} of {listed(types)}; {_bytes(weights.bytes)}"
    )


def _place(weights: Weights) -> str:
    return f"under {clean_text(weights.key, 80)}" if weights.key else "(all of it)"


def _other(other: Weights) -> Hung:
    kind = "averaged weights" if other.averaged else "weights"
    return paragraph(
        f"Also {kind} {_place(other)}: {counted(other.values, 'parameter')} in "
        f"{counted(len(other.tensors), 'tensor')}; `--key` chooses."
    )


def _tensors(rows: Sequence[TensorGroup]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("tensor", overflow="fold", max_width=60)
    table.add_column("shape", no_wrap=True)
    table.add_column("type", no_wrap=True)
    several = any(row.count > 1 for row in rows)
    if several:
        table.add_column("times", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(row.name), row.sizes, row.dtype, *([f"{row.count:,}"] * several))
    return table


def _narrow(rows: Iterable[TensorGroup]) -> Group:
    """Return the tensors for a terminal that has no room for columns."""
    lines: list[RenderableType] = []
    for row in rows:
        times = f", {row.count:,} of them" if row.count > 1 else ""
        lines += [
            Hung(Text(), Text(row.name), 0),
            Hung(Text(), Text(f"{row.sizes}, {row.dtype}{times}", style="dim"), INDENT),
        ]
    return Group(*lines)


def _training(seen: Inspection) -> Iterator[RenderableType]:
    for optimizer in seen.optimizers:
        yield _line(_optimizer(optimizer))
    for setting in seen.settings:
        if setting.name not in UNTOLD:
            yield _line(_setting(setting))


def _optimizer(optimizer: Optimizer) -> str:
    kind = " or ".join(optimizer.classes) or "an optimizer of no class of torch.optim"
    groups = counted(optimizer.groups, "group")
    settings = ", ".join(f"{name} {_value(value)}" for name, value in optimizer.settings)
    keeps = f"; keeps {', '.join(optimizer.slots)}" if optimizer.slots else ""
    place = f" under {clean_text(optimizer.key, 60)}" if optimizer.key else ""
    return f"optimizer{place}: {kind}, {groups}: {settings}{keeps}"


def _setting(setting: Setting) -> str:
    name = NAMES.get(setting.name, setting.name)
    return f"{name}: {_value(setting.value)} ({clean_text(setting.source, 120)})"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{clean_text(name, 40)} {_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value[:16]))}]"
    return f"{value:g}" if isinstance(value, float) else clean_text(value, 160)


def _extras(seen: Inspection) -> Iterator[RenderableType]:
    for name, value in seen.extras:
        yield _line(f"{name}: {clean_text(value, 120)}")


def _section(title: str, lines: Iterable[RenderableType]) -> list[RenderableType]:
    held = list(lines)
    return [Text(title, style="bold"), *held] if held else []


def _cut(
    lines: Iterable[RenderableType], most: int, noun: str, whole: bool, plural: str | None = None
) -> list[RenderableType]:
    held = list(lines)
    shown = held if whole else held[:most]
    return [*shown, *_more(len(held) - len(shown), noun, plural)]


def _more(left: int, noun: str, plural: str | None = None) -> list[RenderableType]:
    said = counted(left, f"more {noun}", f"more {plural}" if plural else None)
    return [Text(f"{said} with --all", style="dim")] if left > 0 else []


def _line(text: str) -> Hung:
    return Hung(Text(" " * INDENT), Text(text), INDENT)


def _cleaned(text: str) -> str:
    return clean_text(text, 400)


def _bytes(count: int) -> str:
    return f"{count:,} bytes"
