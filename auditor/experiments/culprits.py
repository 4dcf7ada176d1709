"""Which part's own derivative is wrong: each module tried alone on the inputs that it was given."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.experiments.decisions import Decisions
from auditor.experiments.differences import (
    EPSILON,
    Probe,
    Scalar,
    constant_factor,
    has_gradient,
    probed,
)
from auditor.experiments.directions import Direction, padding_rows, random_direction
from auditor.experiments.in_float64 import Wide
from auditor.experiments.signs import hook_signs, of_torch, signs_in
from auditor.intake.batches import changed, tensors_in
from auditor.intake.seeding import reseed
from auditor.observations.culprits import Culprit, Kind

DIRECTIONS = 3
"""Random directions along which a part's derivative is tried."""

WRONG = 1e-4
"""Relative error from which a part's derivative is wrong (CS231n)."""

SINGLE = 64
"""Tensors of a part that are tried one at a time."""

STEPPED = 1e-6
"""Share of autograd's derivative below which the numerical one is that of a step function."""

SEVERAL = 8.0
"""Rounding errors of a sum, in units of its last place."""


@dataclass(frozen=True)
class Call:
    """What a part was called with first, and whether trainable parameters lie before that."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    needed: bool


@dataclass
class Part:
    """A module, or the loss, as a function of its inputs and of what is trainable in it."""

    name: str
    run: Callable[..., Any]
    call: Call
    parameters: dict[str, torch.Tensor]
    state: list[torch.Tensor]
    seed: int
    still: Mapping[str, int]

    def __post_init__(self) -> None:
        given = [t for t in tensors_in((self.call.args, self.call.kwargs)) if has_gradient(t)]
        self.inputs = {f"input {n}": t.requires_grad_(True) for n, t in enumerate(given)}
        self._weights: list[torch.Tensor] = []

    def outputs(self) -> list[torch.Tensor]:
        """Return what can be differentiated of its outputs."""
        given = changed((self.call.args, dict(self.call.kwargs)), lambda t: t.clone())
        return [t for t in tensors_in(self.run(*given[0], **given[1])) if has_gradient(t)]

    def scalar(self) -> Scalar:
        """Return its outputs weighted at random and summed, as a function."""
        leaves = {**self.parameters, **self.inputs}
        return Scalar(self._value, leaves, self.state, self.seed, frozenset(self.inputs))

    def noise(self) -> float:
        """Return the rounding error of that sum."""
        outputs = self.outputs()
        terms = zip(self._weighed(outputs), outputs, strict=True)
        total = sum(float((w * t.detach()).abs().sum()) for w, t in terms)
        return SEVERAL * EPSILON * total

    def _value(self) -> torch.Tensor:
        outputs = self.outputs()
        terms = zip(self._weighed(outputs), outputs, strict=True)
        return sum((w * t).real.sum() for w, t in terms)  # type: ignore[return-value]

    def _weighed(self, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        if not self._weights:
            generator = torch.Generator().manual_seed(self.seed)
            for t in outputs:
                drawn = torch.randn(t.shape, generator=generator, dtype=torch.float64)
                self._weights.append(drawn.to(t.device))
        return self._weights


def culprits(made: Wide, seed: int) -> tuple[Culprit, ...]:
    """Return the innermost parts whose derivative is wrong, or whose backward pass raises."""
    calls, outputs = _recorded(made, seed)
    found: list[Culprit] = []
    names = made.names
    parts = list(made.model.named_modules())
    if outputs is not None:
        whole = _loss_part(made, outputs, seed)
        found += _judged(whole, None, names)
    guilty: list[str] = []
    for name, module in reversed(parts):
        within = f"{name}." if name else ""
        if module not in calls or any(known.startswith(within) for known in guilty):
            continue
        part = Part(
            name,
            module,
            calls[module],
            {n: p for n, p in module.named_parameters() if p.requires_grad},
            list(made.model.buffers()),
            seed,
            padding_rows(module),
        )
        told = _judged(part, module, names)
        found += told
        guilty += [name for _ in told]
    return tuple(found)


def _recorded(made: Wide, seed: int) -> tuple[dict[nn.Module, Call], Any]:
    """Return the first call of each module, and the model's outputs, without their graph."""
    calls: dict[nn.Module, Call] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(False):  # even where the model is in it: it is to have a gradient
            return tensor.detach().clone()

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        if module not in calls:
            given = [t for t in tensors_in((args, kwargs)) if has_gradient(t)]
            needed = any(t.requires_grad for t in given)
            calls[module] = Call(changed(args, keep), changed(kwargs, keep), needed)

    hooks = [
        module.register_forward_pre_hook(before, with_kwargs=True, prepend=True)
        for module in made.model.modules()
    ]
    batch = made.batch.with_inputs(keep)
    reseed(seed)
    try:
        outputs = made.model(*batch.args, **batch.kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, changed(outputs, keep)


def _loss_part(made: Wide, outputs: Any, seed: int) -> Part:
    def loss(outputs: Any) -> torch.Tensor:
        return made.loss(outputs, made.batch.target)

    return Part("", loss, Call((outputs,), {}, needed=True), {}, [], seed, {})


def _judged(part: Part, module: nn.Module | None, names: Mapping[int, str]) -> list[Culprit]:
    """Return the part as a culprit where its derivative is wrong."""
    scalar = part.scalar()
    if not scalar.leaves:
        return []
    try:
        with Decisions() as pass_:
            value = scalar()
        if not value.requires_grad:
            gradients: dict[str, torch.Tensor | None] = dict.fromkeys(scalar.leaves)
        else:
            gradients = scalar.gradients()
        scalar.noise = part.noise()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the answer
        said = clean_text(f"{type(error).__name__}: {str(error).partition('. Hint')[0]}")
        return [_culprit(part, module, names, "raises", (), [], identity=False, said=said)]
    generator = torch.Generator().manual_seed(part.seed)
    wrong: dict[str, list[Probe]] = {}
    groups = _groups(part, gradients)
    for what, leaves in groups.items():
        probes: list[Probe] = []
        for _ in range(DIRECTIONS):
            values = random_direction(leaves, generator, part.still)
            if what.startswith("input"):
                # Zeros are where rectifiers left them, tied with one another.
                values = {n: v * (leaves[n].detach() != 0) for n, v in values.items()}
            direction = Direction(values)
            probes.append(probed(scalar, direction, direction.slope(gradients)))
            if probes[0].state == "decided" and probes[0].error <= WRONG:
                break
        decided = [probe for probe in probes if probe.state == "decided"]
        if any(probe.error > WRONG for probe in decided):
            wrong[what] = decided
    if not wrong:
        return []
    every = [probe for probes in wrong.values() for probe in probes]
    if pass_.steps:
        # One by one: moved together, what lies behind a step hides that nothing passes it.
        single = {name: leaf for what in wrong for name, leaf in groups[what].items()}
        every = _wrong_alone(part, scalar, single, gradients, generator) or every
    kind: Kind = "wrong"
    if all(abs(probe.numeric) <= STEPPED * abs(probe.analytic) for probe in every):
        kind = "surrogate" if pass_.steps or pass_.made else "wrong"
    elif all(probe.analytic == 0 for probe in every):
        kind = "cut"
    elif not math.isnan(constant_factor(every)):
        kind = "scaled"
    of = tuple(dict.fromkeys(what.partition(",")[0] for what in wrong))
    return [_culprit(part, module, names, kind, of, every, identity=_hands_on(part))]


def _wrong_alone(
    part: Part,
    scalar: Scalar,
    leaves: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor | None],
    generator: torch.Generator,
) -> list[Probe]:
    """Return the wrong derivatives by tensors moved one at a time; of many, the first."""
    found = []
    for name in list(leaves)[:SINGLE]:
        direction = Direction(random_direction({name: leaves[name]}, generator, part.still))
        found.append(probed(scalar, direction, direction.slope(gradients)))
    return [probe for probe in found if probe.state == "decided" and probe.error > WRONG]


def _groups(
    part: Part, gradients: Mapping[str, torch.Tensor | None]
) -> dict[str, dict[str, torch.Tensor]]:
    """Return a part's tensors: inputs and parameters, those without a gradient by themselves."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for what, leaves in (("input", part.inputs), ("parameters", part.parameters)):
        for name, leaf in leaves.items():
            gradient = gradients[name]
            without = gradient is None or not bool(gradient.any())
            groups.setdefault(f"{what}, without" if without else what, {})[name] = leaf
    return groups


def _culprit(
    part: Part,
    module: nn.Module | None,
    names: Mapping[int, str],
    kind: Kind,
    of: tuple[str, ...],
    wrong: list[Probe],
    *,
    identity: bool,
    said: str = "",
) -> Culprit:
    own = type(module) if module is not None else None
    hooks = hook_signs(module) if module is not None else ()
    return Culprit(
        module=clean_text(part.name),
        type=clean_text(own.__name__) if own else "loss",
        part="module" if module is not None else "loss",
        kind=kind,
        of=of,
        error=max((probe.error for probe in wrong), default=math.nan),
        factor=constant_factor(wrong),
        needed=part.call.needed or "parameters" in of or kind == "raises",
        identity=identity,
        library=module is not None and kind != "raises" and not hooks and _of_torch(module),
        signs=(*hooks, *signs_in(part.outputs, part.name, names)),
        said=said,
    )


def _of_torch(module: nn.Module) -> bool:
    return all(of_torch(type(part)) for part in module.modules())


def _hands_on(part: Part) -> bool:
    """Tell whether a part's only output is its only input."""
    outputs = part.outputs()
    if len(outputs) != 1 or len(part.inputs) != 1 or part.parameters:
        return False
    (given,) = part.inputs.values()
    return outputs[0].shape == given.shape and bool((outputs[0] == given).all())
