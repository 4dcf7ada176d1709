"""The derivative along one direction in training mode, and by forward-mode differentiation."""

import math

import torch
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from auditor.experiments.differences import EPSILON, SAME, Probe, Scalar, probed
from auditor.experiments.directions import Direction
from auditor.experiments.in_float64 import Wide
from auditor.intake.reference import blame
from auditor.intake.seeding import reseed


def in_training(made: Wide, still: Scalar, joint: Direction) -> tuple[Probe | None, str]:
    """Return the derivative along all tensors at once in training mode, or why there is none."""
    made.model.train()
    try:
        scalar = Scalar(still.value, still.leaves, still.state, still.seed)
        first, second = scalar.number(), scalar.number()
        if not math.isfinite(first) or abs(first - second) > SAME * abs(first):
            return None, "in training mode the loss is not finite, or not the same twice"
        gradients = scalar.gradients()
        scalar.noise = max(still.noise, EPSILON * abs(first))
        probe = probed(scalar, joint, joint.slope(gradients))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the answer
        return None, f"in training mode, with so few examples, the model {blame(error)}"
    finally:
        made.model.eval()
    return probe, ""


def forward_mode(
    made: Wide, scalar: Scalar, joint: Direction, gradients: dict[str, torch.Tensor | None]
) -> tuple[float, str]:
    """Return how far forward mode is from reverse mode along a direction, or why it can't tell."""
    names = {id(leaf): name for name, leaf in scalar.leaves.items()}

    def dual(tensor: torch.Tensor) -> torch.Tensor:
        name = names.get(id(tensor))
        if name is None:
            return tensor.clone()
        # Not `forward_ad.make_dual`, which compiles decompositions for a second beforehand.
        return torch._VF._make_dual(tensor.detach().clone(), joint.values[name], level=0)

    reseed(scalar.seed)
    try:
        with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            parameters = {
                name: dual(leaf)
                for name, leaf in scalar.leaves.items()
                if name not in scalar.inputs
            }
            batch = made.batch.with_inputs(dual)
            outputs = functional_call(made.model, parameters, batch.args, batch.kwargs)
            _, tangent = forward_ad.unpack_dual(made.loss(outputs, batch.target))
            along = 0.0 if tangent is None else float(tangent.detach())
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the answer
        return math.nan, f"an operator has no forward mode: it {blame(error)}"
    reverse = joint.slope(gradients)
    largest = max(abs(along), abs(reverse))
    if not largest:
        return math.nan, "both are zero along the direction tried"
    return abs(along - reverse) / largest, ""
