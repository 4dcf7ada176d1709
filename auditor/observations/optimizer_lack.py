"""What the optimizers lack of a model's parameters, and hold beside them."""

from dataclasses import dataclass

from auditor.core.text import counted, listed
from auditor.observations.optimizer_state import OptimizerHeld, OptimizersHeld


@dataclass(frozen=True)
class Lacking:
    """What an optimizer lacks: names for sure, others of which some are, strangers that it holds.

    `idle` are held, but never got a gradient, which others did. `foreign` tells that what it holds
    fits the model so little that nothing follows.
    """

    seen: OptimizerHeld
    missing: tuple[str, ...]
    unsure: tuple[tuple[int, tuple[str, ...]], ...]
    strangers: int
    idle: tuple[str, ...]
    foreign: bool = False

    @property
    def any(self) -> bool:
        """Tell whether anything is wrong."""
        return bool(self.missing or self.unsure or self.strangers or self.idle)

    @property
    def whose(self) -> str:
        """Return the optimizer in words."""
        return (
            f"The optimizer in the checkpoint (`{self.seen.where}`)"
            if self.seen.where
            else ("The optimizer")
        )


def lack_of(held: OptimizersHeld | None) -> Lacking:
    """Return what the optimizers lack together; of several, each may be for another model."""
    nothing = OptimizerHeld("", "", (), (), (), 0)
    if held is None or not held.optimizers:
        return Lacking(nothing, (), (), 0, ())
    many = len(held.optimizers) > 1
    best = min(held.optimizers, key=lambda o: (o.strangers, len(o.missing) + _loose(o)))
    covered = {h.name for o in held.optimizers if not o.strangers for h in o.held if h.name}
    missing = tuple(name for name in best.missing if name not in covered)
    if many and best.strangers:
        return Lacking(best, (), (), 0, ())
    kept = [h for h in best.held if h.kept]
    live = set(held.trainable)
    idle = tuple(
        h.name for h in best.held if kept and not h.kept and h.name in live and best.remembers
    )
    # Where most fits nothing the file describes other tensors (sharded, flattened), not a fault.
    if best.where and best.strangers > len(best.held) / 2:
        return Lacking(best, (), (), 0, (), foreign=True)
    if many and best.unsure:
        return Lacking(best, (), (), 0, ())
    return Lacking(best, missing, best.unsure, best.strangers, idle)


def _loose(optimizer: OptimizerHeld) -> int:
    return sum(count for count, _ in optimizer.unsure)


def count_lacking(lack: Lacking) -> int:
    """Return how many parameters the optimizer lacks, the unsure ones counted."""
    return len(lack.missing) + sum(count for count, _ in lack.unsure)


def holds_nothing(lack: Lacking, trainable: int) -> bool:
    """Tell whether the optimizer lacks every trainable parameter."""
    return count_lacking(lack) >= trainable


def said_of_lack(lack: Lacking, trainable: int) -> list[str]:
    """Return sentences on what the optimizer lacks, or holds in vain."""
    parts = []
    if lack.foreign:
        parts.append(f"{lack.whose} holds other tensors than the model's; it was not judged.")
    if lack.missing:
        whole = counted(trainable, "trainable parameter")
        parts.append(
            f"{lack.whose} does not hold {len(lack.missing):,} of {whole}: "
            f"{listed(list(lack.missing), 4)}."
        )
    for count, names in lack.unsure:
        parts.append(
            f"{lack.whose} lacks {counted(count, 'parameter')} of {len(names):,} that its file "
            f"can't tell apart: {listed(list(names), 4)}."
        )
    if lack.strangers:
        it = "parameter that is not" if lack.strangers == 1 else "parameters that are not"
        parts.append(f"{lack.whose} holds {lack.strangers:,} {it} among the model's.")
    if lack.idle:
        parts.append(
            f"{lack.whose} never saw a gradient of {counted(len(lack.idle), 'parameter')} that it "
            f"holds: {listed(list(lack.idle), 4)}."
        )
    return parts
