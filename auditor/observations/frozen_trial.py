"""Layers that are frozen at random values, and what copies gain in which they learn."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Place
from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.text import clean_text, listed
from auditor.core.verdict import Verdict
from auditor.observations.at_start import frozen_at_start
from auditor.observations.initial_weights import InitialWeights
from auditor.observations.mended_copies import GAIN, SCORED, MendedCopies, cost_of
from auditor.observations.said import Said
from auditor.observations.untrained import proof_of_start


@dataclass(frozen=True)
class FrozenTrialOver(Request[MendedCopies]):
    """Asks what copies gain by letting everything learn that is frozen."""

    steps: int = 200
    seeds: int = 2

    answer: ClassVar = MendedCopies
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset(
        {"model", "factory", "train", "val", "loss"}
    )
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes at most."""
        return cost_of(self.steps, self.seeds, batches)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of a run, and those that copies are scored on."""
        return {"train": self.steps, "val": min(SCORED, batches.get("val", 0))}


def said_of_frozen(fresh: InitialWeights, copies: MendedCopies | None) -> list[Said]:
    """Return what is said of layers that never learn and hold nothing but random numbers."""
    frozen = frozen_at_start(fresh)
    if not frozen:
        return []
    names = [f"`{clean_text(t.name)}`" for t in frozen]
    are = "is" if len(names) == 1 else "are"
    text = (
        f"{listed(names, 4)} {are} frozen (`requires_grad` is False) at the random values that "
        f"{are} drawn when the model is built."
    )
    verdict = Verdict.INFO
    if copies is not None and copies.tried:
        verdict, _, gained = copies.gain("where everything learns", GAIN)
        text += f" {gained}"
    if verdict is Verdict.INFO:
        return [Said(Verdict.INFO, text)]
    return [
        Said(
            verdict,
            text,
            tuple(
                Place("parameter", clean_text(t.name), f"frozen, {proof_of_start(t)}")
                for t in frozen
            ),
            step(
                "Load the trained weights before freezing, in the factory too; or let the layer "
                "learn, before the optimizer is made:",
                snippets.frozen([t.name for t in frozen]).replace("(False)", "(True)"),
            ),
        )
    ]
