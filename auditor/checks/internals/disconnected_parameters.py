"""Trainable parameters that no gradient or optimizer reaches, and modules that never run.

What it does
------------
Looks for trainable parameters to which the loss sends no gradient, or nothing but zeros, on every
batch; for modules that never run; for parameters that the optimizer does not hold; and for layers
that the model uses without holding them, such as those of a plain list.

Why it matters
--------------
Such a parameter stays what it was born with, without any error: a layer forgotten in `forward`, a
`detach()` in the wrong place, a head that was replaced after the optimizer was made. The model
trains around it, worse than it could.

How it is measured
------------------
Training batches go through the model in training mode and the gradient of the loss comes back; a
parameter counts as silent where every batch gave no gradient, or exactly zero. On a copy each
silent one is then changed, dropout being off. Where the loss follows by more than 1e-4 of itself,
the parameter is used, and something cuts it off: that fails. So does a weight whose gradient is
exactly zero, unless it is so only because other weights are exactly zero (the first factor of LoRA
beside a second one of zeros): that is told, not blamed. What changes nothing is unused: that warns.
A vector without any effect, such as a bias before a normalisation that takes it out, is told alone.
Frozen parameters are listed.

The graph behind a loss ends in all that it can be differentiated by. What of that is an attribute
of a module, or in a list or dict that is one, and yet none of the model's parameters, is used but
never trained and never saved: that fails.

Saved optimizers number parameters and do not name them. They are told by the names that some
optimizers keep, by their order, or by the shapes of their moments; where that leaves several
possibilities, so does the finding. An optimizer handed in as itself is asked directly.

When it misleads
----------------
What data route (experts, heads of other tasks) may be used by batches that were not looked at. A
pooler or auxiliary head that this task leaves out is unused on purpose. A gradient of zero is often
the work of dead rectifiers: `dead-units` tells. Where a training script froze a part that the
factory leaves trainable, the optimizer in the checkpoint lacks it on purpose.

What to do
----------
Use the parameter, remove it, or freeze it with `requires_grad_(False)`, and make the optimizer
after the last change to the model.

Source
------
PyTorch documentation, "Autograd mechanics" and `torch.autograd.grad`, `allow_unused`; the same
check at the price of a crash is `DistributedDataParallel(find_unused_parameters=False)`.
"""

from collections.abc import Sequence

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.by_depth import table_by_depth
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Cell, Figure, Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.optimizer_lack import (
    Lacking,
    count_lacking,
    holds_nothing,
    lack_of,
    said_of_lack,
)
from auditor.observations.optimizer_state import OptimizersHeldIn
from auditor.observations.reach import ParameterReach, ParameterReachOver, SilenceCausesOver
from auditor.observations.silent_parameters import (
    KINDS,
    NOTES,
    count_live,
    idle_modules,
    kinds_of_silence,
    said_of_silence,
)

REACH = ParameterReachOver()
CAUSES = SilenceCausesOver()
HELD = OptimizersHeldIn()


@check(
    title="Training reaches every parameter",
    failure_title="Some parameters are out of training's reach",
    needs=(REACH,),
    wants=(CAUSES, HELD),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge which trainable parameters get a gradient and stand in the optimizer."""
    reach = seen[REACH]
    names = tuple(clean_text(name) for name in reach.parameters)
    trainable = np.flatnonzero(reach.trainable)
    if not trainable.size and not reach.unheld:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"All of {counted(len(names), 'parameter')} are frozen, so none is to be trained.",
        )
    if reach.flat == reach.batches and not reach.losses and not reach.unheld:
        return Judgement(
            Verdict.NOT_APPLICABLE, "The loss is exactly 0 on every batch and has no gradient."
        )
    lack = lack_of(seen.get(HELD))
    if not reach.losses and trainable.size:
        return _nothing(names, trainable, reach, lack)
    unheld = [(clean_text(name), size) for name, size in reach.unheld]
    kinds = kinds_of_silence(reach, seen.get(CAUSES))
    groups = {kind: [place for place in sorted(kinds) if kinds[place] == kind] for kind in KINDS}
    if reach.flat == reach.batches:
        # Nothing is left to learn from these batches, and a zero proves nothing.
        groups["zero"] = []
    frozen = groups["frozen"]
    idle = idle_modules(reach, kinds)
    lost = [p for kind in ("cut off", "zero", "unused") for p in groups[kind]]
    verdicts = [KINDS[kind] for kind in ("cut off", "zero", "unused") if groups[kind]]
    if lack.any:
        verdicts.append(Verdict.FAIL if holds_nothing(lack, trainable.size) else Verdict.WARN)
    if unheld:
        verdicts.append(Verdict.FAIL)
    verdict = worst(verdicts) if verdicts else Verdict.PASS
    where = [Place("layer", name, "used, but none of the model's parameters") for name, _ in unheld]
    where += [Place("parameter", names[p], NOTES[kinds[p]]) for p in lost]
    named = {place.name for place in where}
    for name in (*lack.missing, *lack.idle):
        note = "not in the optimizer" if name in lack.missing else "in the optimizer, never moved"
        if clean_text(name) not in named:
            where.append(Place("parameter", clean_text(name), note))
    if lost:
        where += [Place("layer", clean_text(name), "never ran") for name, _ in idle[:20]]
    return Judgement(
        verdict,
        " ".join(
            [
                *_said_of_unheld(unheld),
                *said_of_silence(groups, names, reach, idle),
                *said_of_lack(lack, trainable.size),
            ]
        ),
        metrics=(
            Metric(
                "trainable parameters with a gradient", count_live(reach), f"of {trainable.size:,}"
            ),
            *(
                Metric(f"parameters {what}", len(groups[kind]), f"of {trainable.size:,}")
                for kind, what in (
                    ("cut off", "cut off from the loss"),
                    ("zero", "with a gradient of exactly zero"),
                    ("unused", "that are not used"),
                )
            ),
            Metric("values out of reach", sum(reach.sizes[p] for p in lost), f"of {_total(reach)}"),
            Metric("frozen parameters", len(frozen), f"of {len(names):,}"),
            Metric(
                "parameters not in the optimizer", count_lacking(lack), f"of {trainable.size:,}"
            ),
        ),
        where=tuple(where),
        advice=(
            *_hold(unheld),
            *(_advice(groups, names, reach, idle, lack) if where or lack.any else ()),
        ),
        figures=_figures(groups, names, reach, lack),
    )


def _said_of_unheld(unheld: Sequence[tuple[str, int]]) -> list[str]:
    if not unheld:
        return []
    size = sum(values for _, values in unheld)
    return [
        f"The loss hangs on {counted(size, 'value')} that the model uses but does not hold: "
        f"{listed([f'`{name}`' for name, _ in unheld], 4)}. They are not in `parameters()`, so "
        "that no optimizer trains them, and not in `state_dict()`, so that a loaded model has "
        "other ones."
    ]


def _hold(unheld: Sequence[tuple[str, int]]) -> list[str]:
    if not unheld:
        return []
    name = unheld[0][0].rpartition(".")[2]
    return [
        f"Let the model hold them, then train anew: `self.{name} = nn.ModuleList(...)` in the "
        "place of a list of layers (`nn.ModuleDict` for a dict, `nn.ParameterList` for tensors, "
        "`nn.Parameter(...)` for one). If they are not to be trained, use `register_buffer`.",
    ]


def _total(reach: ParameterReach) -> str:
    pairs = zip(reach.sizes, reach.trainable, strict=True)
    return f"{sum(size for size, own in pairs if own):,}"


def _nothing(
    names: Sequence[str], trainable: np.ndarray, reach: ParameterReach, lack: Lacking
) -> Judgement:
    return Judgement(
        Verdict.FAIL,
        f"The loss sends no gradient to any of {counted(trainable.size, 'trainable parameter')}: "
        "what it is computed from is cut off from all of them.",
        metrics=(Metric("trainable parameters with a gradient", 0, f"of {trainable.size:,}"),),
        where=tuple(Place("parameter", names[p], "no gradient") for p in trainable),
        advice=(
            step(
                "Look between the model's output and the loss for `detach()`, `.data`, `.item()`, "
                "`argmax`, rounding, numpy, or `torch.no_grad()`. This has to pass:",
                "inputs, targets = next(iter(train_loader))\n"
                "assert model(inputs).grad_fn is not None\n"
                "assert loss_fn(model(inputs), targets).grad_fn is not None",
            ),
        ),
        figures=(
            table_by_depth(
                "Parameters without a gradient",
                "All of them; the largest first.",
                ("parameter", "values"),
                [(names[p], float(reach.sizes[p])) for p in trainable],
                [float(reach.sizes[p]) for p in trainable],
                "parameters",
            ),
        ),
    )


def _advice(
    groups: dict[str, list[int]],
    names: Sequence[str],
    reach: ParameterReach,
    idle: list[tuple[str, bool]],
    lack: Lacking,
) -> list[str]:
    lines = []
    if groups["cut off"]:
        first = names[groups["cut off"][0]]
        cut = [reach.parameters[p] for p in groups["cut off"]]
        lines.append(
            step(
                f"Follow what `{first}` makes through `forward`: `detach()`, `torch.no_grad()`, "
                "`.data`, `.item()`, numpy, `argmax` or rounding cuts it off. If that is on "
                "purpose, say so:",
                snippets.frozen(cut),
            )
        )
    if groups["zero"]:
        first = names[groups["zero"][0]]
        lines.append(
            f"Look at what follows `{first}`: rectifiers that are dead on every example "
            "(`dead-units` names them), a mask or factor of zero, `clamp` beyond its range."
        )
    if groups["unused"]:
        first = clean_text(idle[0][0]) if idle else names[groups["unused"][0]]
        lines.append(
            step(
                f"Use `{first}` in `forward`; or remove it; or, if this task leaves it out on "
                "purpose, freeze it, so that no one takes it for trained:",
                f"{snippets.layer(idle[0][0])}.requires_grad_(False)"
                if idle
                else snippets.frozen([reach.parameters[p] for p in groups["unused"]]),
            )
        )
    if lack.missing or lack.unsure or lack.strangers:
        lines.append(
            step(
                "Make the optimizer after the last change to the model, from all of its "
                "parameters; what is not to be trained, freeze with `requires_grad_(False)`. This "
                "has to pass:",
                'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
                "for name, p in model.named_parameters():\n"
                "    assert id(p) in held or not p.requires_grad, name",
            )
        )
    if lack.idle:
        lines.append(
            f"Find out why `{clean_text(lack.idle[0])}` had no gradient in training: not used, cut "
            "off, or frozen by the training script; in that case freeze it in the factory too."
        )
    return lines


def _figures(
    groups: dict[str, list[int]], names: Sequence[str], reach: ParameterReach, lack: Lacking
) -> tuple[Figure, ...]:
    rows: list[tuple[Cell, ...]] = [
        (names[p], reach.sizes[p], kind, NOTES[kind]) for kind in KINDS for p in groups[kind]
    ]
    known = {str(row[0]) for row in rows}
    size = dict(zip(names, reach.sizes, strict=True))
    outside = ((lack.missing, "not in the optimizer"), (lack.idle, "never moved"))
    for every, what in outside:
        rows += [
            (clean_text(n), size.get(clean_text(n)), what, "see the optimizer")
            for n in every
            if clean_text(n) not in known
        ]
    if not rows:
        return ()
    return (
        Table(
            title="Parameters without a gradient",
            caption=f"Over {counted(reach.batches, 'batch', 'batches')} of {reach.split} data in "
            "training mode; all others got one.",
            columns=("parameter", "values", "kind", "what it means"),
            rows=tuple(rows),
        ),
    )
