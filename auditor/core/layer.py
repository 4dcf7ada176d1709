"""What the record keeps of each layer, for the map of the model."""

from dataclasses import dataclass

from auditor.core.values import Number

MODEL = "(model)"
"""The name of the model itself among its layers."""

USUAL_UPDATE = 1e-3
"""|Δw| / |w| of one step of a training that goes well, about (CS231n notes)."""


@dataclass(frozen=True)
class LayerFacts:
    """One layer, as far as this audit measured it: None, or no text, was not measured.

    Layers stand in the order in which they ran, or in that of the checkpoint where nothing ran.
    Numbers are medians over batches or steps, and infinite or NaN where one of them is not finite.
    """

    name: str
    """Dotted name of the module; of a function that a module calls, it ends in "()"."""
    kind: str = ""
    output: str = ""
    """Shape of its first output, the examples as N ("N×64×8×8")."""
    ran: bool = True
    """False: it was not seen to run. Parameters may stand in it all the same."""
    parameters: int | None = None
    """Values of parameters that no earlier layer holds; of weights alone, of all its tensors."""
    activation: Number | None = None
    """Root mean square of its output on validation data, in evaluation mode."""
    gradient: Number | None = None
    """2-norm of the gradient of one example's loss at its output, in training mode."""
    dead: Number | None = None
    """Share of its rectified units that never fired on validation data, 0 to 1."""
    update: Number | None = None
    """|Δw| / |w| of one step from the checkpoint, of its weight that is farthest from 1e-3."""
