"""Records of models with as many layers as are asked for, and findings that speak of them."""

from dataclasses import replace

from report_records import rich_record

from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.layer import LayerFacts
from auditor.core.record import AuditRecord, Section
from auditor.core.verdict import Verdict

DEAD = Finding(
    "dead-units",
    Verdict.FAIL,
    "Rectified units are dead",
    "All of them.",
    (Metric("dead units in the worst layer", 1.0, "share", limit=Limit(0.25, 0.5)),),
    (Place("layer", "blocks.1.act"), Place("parameter", "blocks.1.fc.bias")),
)
WEIGHTS = Finding(
    "weights-degenerate",
    Verdict.WARN,
    "Weights are degenerate",
    "Some.",
    where=(Place("parameter", "blocks.2.fc.weight"), Place("parameter", "elsewhere.weight")),
)


def layers(many: int) -> tuple[LayerFacts, ...]:
    """Return blocks of a linear layer and a rectifier, the second of which is dead."""
    made = []
    for place in range(many):
        block, rest = divmod(place, 2)
        name = f"blocks.{block}.{'act' if rest else 'fc'}"
        size = 10 ** (-3 * place / max(many, 2))
        if rest:
            dead = 1.0 if block == 1 else 0.01
            made.append(LayerFacts(name, "ReLU", "N×64", True, 0, 0.0 if block == 1 else 0.5, size,
                                   dead))  # fmt: skip
        else:
            made.append(LayerFacts(name, "Linear", "N×64", True, 4160, 1.0, size, None, 1e-3))
    return tuple(made)


def record_of(
    many: int | tuple[LayerFacts, ...], *findings: Finding, causes: tuple[str, ...] = ()
) -> AuditRecord:
    """Return a record with these layers and findings, and causes seen in some checks."""
    rich = rich_record()
    first, *others = rich.sections
    empty = tuple(replace(section, findings=()) for section in others)
    whole = Section(first.id, first.title, Verdict.FAIL, findings or (DEAD, WEIGHTS))
    return replace(
        rich,
        sections=(whole, *empty),
        causes=tuple(replace(rich.causes[0], findings=(check,)) for check in causes),
        layers=layers(many) if isinstance(many, int) else many,
    )


def renamed(record: AuditRecord, start: str) -> AuditRecord:
    """Return a record in which all names begin with `start`."""
    first, *others = record.sections
    found = tuple(
        replace(f, where=tuple(replace(p, name=start + p.name) for p in f.where))
        for f in first.findings
    )
    known = tuple(replace(layer, name=start + layer.name) for layer in record.layers)
    return replace(record, sections=(replace(first, findings=found), *others), layers=known)
