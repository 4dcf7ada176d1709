"""Derivatives by centred differences, told from rounding and from kinks."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from auditor.experiments.decisions import Decisions, differing
from auditor.experiments.directions import Direction
from auditor.experiments.lab import every_module_called
from auditor.intake.seeding import reseed
from auditor.observations.gradient_check import State

STEP = 1e-5
"""The step of a centred difference, relative to the size of what is moved (CS231n)."""

FINER = (1e-6, 1e-7, 1e-8)
"""Steps that are tried as well where the first one disagrees: within them fewer kinks are met."""

CLOSER = 1e-7
"""The step tried next, which meets a hundredth of the kinks."""

CLEAR = 5e-5
"""A relative error up to which the first step settles the matter: half of what CS231n allows."""

RESOLVED = 1e-3
"""Share of a derivative that its rounding error may have for the derivative to be decided."""

ENOUGH = 2
"""Steps without a crossing after which a disagreement stands."""

AGAIN = 1e-3
"""Relative spread up to which the ratios of derivatives are one constant factor."""

SMOOTH = 10.0
"""How many times the change between steps and sides an error has to be, for the kinks that lie
within the step not to be its cause."""

PIECES = 1e-3
"""Share of all decisions that may change within a step which is called smooth."""

HELD = 0.5
"""Share of the decisions changed by the longest step that the shortest, a hundredth of it or less,
changes too where the place itself is a kink. Of kinks that lie nearby it is about a hundredth."""

ASIDE = 1e-4
"""How far such a place is left, in steps along the direction, to look again."""

SAME = 1e-12
"""Share of the loss by which it may differ from one evaluation to the next."""

EPSILON = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Probe:
    """One derivative: by autograd, by differences, and what can be said of the two."""

    analytic: float
    numeric: float
    error: float
    state: State
    followed: bool = False


@dataclass
class Scalar:
    """A number as a function of `leaves`: the same at every evaluation, its state put back.

    `state` are the buffers that an evaluation may write to, `inputs` the leaves that are no
    parameters, `still` the rows that are not moved, and `noise` is its rounding error. `cost` is
    what an evaluation takes, `watching` what looking at its decisions adds, and `spent` what all
    have taken, in floating-point operations.
    """

    value: Callable[[], torch.Tensor]
    leaves: dict[str, torch.Tensor]
    state: list[torch.Tensor]
    seed: int
    inputs: frozenset[str] = frozenset()
    still: Mapping[str, int] = field(default_factory=dict)
    noise: float = 0.0
    cost: float = 0.0
    watching: float = 0.0
    passes: int = 0
    spent: float = 0.0
    _here: Decisions | None = None
    _base: float = math.nan
    _kept: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kept = [buffer.detach().clone() for buffer in self.state]

    def __call__(self) -> torch.Tensor:
        """Evaluate, with its graph."""
        with torch.no_grad():
            for buffer, kept in zip(self.state, self._kept, strict=True):
                buffer.data.copy_(kept)
        reseed(self.seed)
        self.passes += 1
        self.spent += self.cost
        with torch.enable_grad():
            return self.value()

    def number(self) -> float:
        """Evaluate."""
        return float(self().detach())

    def gradients(self) -> dict[str, torch.Tensor | None]:
        """Return the gradient by each leaf; None where autograd knows of no connection."""
        value = self()
        self.spent += 2 * self.cost
        if not value.requires_grad:
            return dict.fromkeys(self.leaves)
        found = torch.autograd.grad(value, list(self.leaves.values()), allow_unused=True)
        return {
            name: g.detach().to_dense() if g is not None and g.is_sparse else g
            for name, g in zip(self.leaves, found, strict=True)
        }

    def decided(self) -> tuple[float, Decisions]:
        """Return the value here, and what its operators decide."""
        if self._here is None:
            self._here = Decisions()
            self.spent += self.watching
            with self._here:
                self._base = self.number()
        return self._base, self._here

    def beside(self, direction: Direction, step: float) -> Generator[None]:
        """Stand at +step and -step along a direction, one after the other, then back."""
        leaves = {name: self.leaves[name].detach() for name in direction.values}
        if direction.at is not None:
            leaves = {
                name: leaf[np.unravel_index(direction.at, leaf.shape)]
                for name, leaf in leaves.items()
            }
        kept = {name: leaf.clone() for name, leaf in leaves.items()}
        try:
            for sign in (step, -step):
                for name, leaf in leaves.items():
                    leaf.data.copy_(kept[name] + sign * direction.values[name])
                yield
        finally:
            for name, leaf in leaves.items():
                leaf.data.copy_(kept[name])

    @contextmanager
    def aside(self, direction: Direction) -> Iterator[None]:
        """Stand beside this place for the length of a block."""
        places = self.beside(direction, ASIDE)
        next(places)
        self._here = None
        try:
            yield
        finally:
            places.close()
            self._here = None

    def around(self, direction: Direction, step: float) -> tuple[float, float]:
        """Return the values at +step and -step along a direction."""
        above, below = (self.number() for _ in self.beside(direction, step))
        return above, below

    def crossings(self, direction: Direction, step: float) -> tuple[float, float, int]:
        """Return both values, and how many decisions differ between the three places."""
        _, here = self.decided()
        values, crossed = [], 0
        for _ in self.beside(direction, step):
            self.spent += self.watching
            with Decisions() as there:
                values.append(self.number())
            crossed = max(crossed, differing(here.made, there.made))
        return values[0], values[1], crossed

    def measure_noise(self, direction: Direction, largest: float = 0.0) -> None:
        """Set `noise` from second differences of steps too small for anything but rounding.

        σ² is the mean of (Δ²f)² / 6, as for independent errors (Moré & Wild 2011, SIAM Journal on
        Scientific Computing 33). A unit in the last place is the least, of the value or of the
        `largest` number that it is made of: a loss of nearly nothing, out of logits of ten, moves
        in jumps that steps so small do not show.
        """
        values = [v for k in (1, 2, 3) for v in self.around(direction, k * 1e-13)]
        centre = self.number()
        line = np.array([values[5], values[3], values[1], centre, *values[0::2]])
        spread = float(np.sqrt(np.mean(np.diff(line, 2) ** 2) / 6))
        self.noise = max(spread, EPSILON * abs(centre), EPSILON * largest)


def rounding(noise: float, step: float) -> float:
    """Return what rounding may do to a centred difference: ten deviations of it.

    Three would do were they known; they are estimated from a few evaluations nearby.
    """
    return 10 * noise / (math.sqrt(2) * step)


def probed(
    scalar: Scalar,
    direction: Direction,
    analytic: float,
    *,
    follow: bool = True,
    aside: bool = False,
) -> Probe:
    """Return what differences say of a derivative along a direction.

    One centred difference settles it where it agrees, or a closer one. Else several steps are tried
    and what the operators decide is compared: a step within which no decision changes is on one
    smooth piece. The error is that of the step that agrees best among those that rounding leaves
    decided; what differs from step to step nearly as much as from autograd (a loss that is computed
    in less precision than it seems) is as undecided as a kink. Where the place itself is one (two
    equal numbers, of which batch norm over two examples makes zeros) it is left a little, once:
    `aside` tells that it was.
    """
    above, below = scalar.around(direction, STEP)
    numeric = (above - below) / (2 * STEP)
    error, small = _error(analytic, numeric, rounding(scalar.noise, STEP))
    if small:
        return Probe(analytic, numeric, math.nan, "small")
    if error <= CLEAR:
        return Probe(analytic, numeric, error, "decided")
    above, below = scalar.around(direction, CLOSER)
    slope = (above - below) / (2 * CLOSER)
    error, small = _error(analytic, slope, rounding(scalar.noise, CLOSER))
    if not small and error <= CLEAR:
        return Probe(analytic, slope, error, "decided")
    if not follow:
        return Probe(analytic, numeric, math.nan, "open")
    base, here = scalar.decided()
    on_piece: list[tuple[float, float]] = []
    seen: list[tuple[float, float, float, int]] = []
    for step in (STEP, *FINER):
        above, below, crossed = scalar.crossings(direction, step)
        slope = (above - below) / (2 * step)
        error, small = _error(analytic, slope, rounding(scalar.noise, step))
        if small:
            continue
        if not crossed:
            on_piece.append((error, slope))
            if error <= CLEAR or len(on_piece) == ENOUGH:
                break
        seen.append((error, slope, abs(above - 2 * base + below) / step, crossed))
    if on_piece:
        error, slope = min(on_piece)
        spread = max(row[1] for row in on_piece) - min(row[1] for row in on_piece)
        if error <= CLEAR or abs(analytic - slope) > SMOOTH * spread:
            return Probe(analytic, slope, error, "decided", followed=True)
        return Probe(analytic, numeric, math.nan, "kink", followed=True)
    if len(seen) > 1:
        error, slope, _, _ = min(seen)
        slopes = [row[1] for row in seen]
        doubt = max(slopes) - min(slopes) + min(row[2] for row in seen)
        crossed = min(row[3] for row in seen)
        share = crossed / max(1, sum(t.numel() for t in here.made))
        apart = abs(analytic - slope) > SMOOTH * doubt and share <= PIECES
        held = crossed > HELD * max(row[3] for row in seen)
        if error <= CLEAR or (apart and not held):
            return Probe(analytic, slope, error, "decided", followed=True)
        if apart and not aside:
            with scalar.aside(direction):
                there = direction.slope(scalar.gradients())
                return replace(probed(scalar, direction, there, aside=True), followed=True)
    return Probe(analytic, numeric, math.nan, "kink", followed=True)


def constant_factor(probes: Sequence[Probe]) -> float:
    """Return a / n where it is the same for all of two or more derivatives, else NaN."""
    ratios = [probe.analytic / probe.numeric for probe in probes if probe.numeric]
    if len(ratios) < 2 or len(ratios) < len(probes):
        return math.nan
    middle = float(np.median(ratios))
    same = max(abs(ratio - middle) for ratio in ratios) <= AGAIN * abs(middle)
    return middle if same else math.nan


def has_gradient(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor holds numbers that a derivative can be taken by."""
    return bool(tensor.numel()) and (tensor.is_floating_point() or tensor.is_complex())


def _error(analytic: float, numeric: float, noise: float) -> tuple[float, bool]:
    """Return |a - n| / max(|a|, |n|) less rounding, and whether rounding leaves it undecided."""
    largest = max(abs(analytic), abs(numeric))
    if not math.isfinite(numeric):
        return math.nan, True
    if not math.isfinite(analytic):
        return math.inf, False
    if largest == 0 or noise > RESOLVED * largest:
        return math.nan, True
    return max(0.0, abs(analytic - numeric) - noise) / largest, False


TWICE_AS_WIDE = {torch.float32: torch.float64, torch.complex64: torch.complex128}


class Doubled(TorchFunctionMode):
    """Reads float64 where code says float32, as a softmax or a norm in single precision does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()

        def wider(value: Any) -> Any:
            return TWICE_AS_WIDE.get(value, value) if isinstance(value, torch.dtype) else value

        return func(*map(wider, args), **{key: wider(v) for key, v in (kwargs or {}).items()})


@contextmanager
def in_double() -> Iterator[None]:
    """Have tensors made in float64, and recurrent layers run by torch's own kernels.

    cuDNN's want training mode for a backward pass; the fused attention of evaluation mode has none.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with every_module_called(), torch.backends.cudnn.flags(enabled=False), Doubled():
            yield
    finally:
        torch.set_default_dtype(usual)
