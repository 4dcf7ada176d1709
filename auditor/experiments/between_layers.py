"""What stands between one layer with weights and the next, read from autograd's graph."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from auditor.experiments.lab import every_module_called
from auditor.intake.batches import Batch, tensors_in
from auditor.observations.activation_trial import Doubt

_LINEAR = """
Add Sub Mul Div Neg Alias AsStrided Chunk Clone ConstantPadNd Expand Index NativeDropout Permute
PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D ReflectionPad3D ReplicationPad1D
ReplicationPad2D ReplicationPad3D Repeat ReshapeAlias Select Slice Split Squeeze T ToCopy
Transpose Unbind Unsqueeze UnsafeSplit UnsafeView View
Mean Sum AvgPool1D AvgPool2D AvgPool3D AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D
MkldnnAdaptiveAvgPool2D UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D UpsampleLinear1D
UpsampleBilinear2D UpsampleTrilinear3D
"""
LINEAR = frozenset(_LINEAR.split())
"""Operations that are linear where one tensor alone goes in, by autograd's names."""

NORMS = frozenset(("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"))
"""Operations that are linear in evaluation mode."""

_ACTIVATIONS = """
Relu LeakyRelu RreluWithNoise Elu Gelu Silu Mish Sigmoid Tanh Softplus Softshrink Hardshrink
Hardtanh Hardswish Hardsigmoid PreluKernel Softmax LogSoftmax LogSigmoid Threshold Clamp
ClampMin
"""
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Operations that act on each number, or weigh all of them, by autograd's names."""

RECTIFIERS = frozenset(("Relu", "ClampMin", "Threshold", "Clamp", "Hardtanh"))
"""Those that do nothing more where one comes on top of another."""

POOLS = ("MaxPool", "AdaptiveMaxPool", "FractionalMaxPool", "Max", "Amax")
"""How the names of operations begin that take a maximum."""


@dataclass
class Between:
    """What was found: how many layers have one straight before, and where that is odd."""

    pairs: int = 0
    doubts: dict[tuple[str, str], Doubt] = field(default_factory=dict)


def between_layers(model: nn.Module, batch: Batch) -> Between:
    """Run a private model in evaluation mode and look at what comes before each of its layers.

    Only what certainly comes straight from one other layer counts: where tensors are added,
    multiplied or matched, or an unknown function stands, nothing is said. Nor is it where the
    layers are narrower between than on either side, as the two factors of a large matrix are, or
    where a convolution goes over each channel by itself.
    """
    found, made, acts = Between(), dict[Any, str](), dict[Any, str]()
    names = {module: name for name, module in model.named_modules() if name}

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        given = next(tensors_in((args, kwargs)), None)
        way = None if given is None else _way(given.grad_fn, made)
        if way is None:
            return
        source, nodes = way
        found.pairs += 1
        doubt = _doubt(model, source, names[module], nodes, acts)
        if doubt is not None:
            found.doubts[source, names[module]] = doubt

    def after(module: nn.Module, args: Any, output: Any) -> None:
        node = getattr(output, "grad_fn", None)
        if node is not None and is_layer(module):
            made[node] = names[module]
        elif node is not None and next(module.children(), None) is None:
            acts.setdefault(node, names[module])

    for parameter in model.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(True)
    model.eval()
    with ExitStack() as stack, torch.enable_grad(), every_module_called():
        for module in names:
            if is_layer(module):
                handle = module.register_forward_pre_hook(before, with_kwargs=True)
                stack.callback(handle.remove)
            stack.callback(module.register_forward_hook(after).remove)
        model(*batch.args, **batch.kwargs)
    return found


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module multiplies what it is given by weights and does nothing else."""
    return isinstance(module, nn.Linear | _ConvNd)


def _way(node: Any, made: dict[Any, str]) -> tuple[str, list[Any]] | None:
    """Return the layer that a tensor comes from, and the operations since that are not linear.

    They come in the order in which they ran. None where it is not certain.
    """
    nodes: list[Any] = []
    while node is not None:
        if node in made:
            return made[node], nodes[::-1]
        name = operation(node)
        inner = [following for following, _ in node.next_functions if following is not None]
        if name in ACTIVATIONS or name in NORMS:
            inner = [one for one in inner if operation(one) != "AccumulateGrad"]
        if name in ACTIVATIONS or name.startswith(POOLS):
            nodes.append(node)
        elif name not in LINEAR and name not in NORMS:
            return None
        elif name in NORMS:
            nodes.append(node)
        if len(inner) != 1:
            return None
        node = inner[0]
    return None


def operation(node: Any) -> str:
    """Return autograd's name of an operation, such as "Relu"."""
    return str(type(node).__name__).partition("Backward")[0]


def _doubt(
    model: nn.Module, before: str, layer: str, nodes: list[Any], acts: dict[Any, str]
) -> Doubt | None:
    kinds = [operation(node) for node in nodes if operation(node) in ACTIVATIONS]
    shown = tuple(_named(node, acts) for node in nodes if operation(node) in ACTIVATIONS)
    if any(kind in ("Softmax", "LogSoftmax") for kind in kinds):
        return Doubt("softmax", before, layer, shown)
    if not RECTIFIERS.issuperset(kinds) and _stacked(nodes):
        return Doubt("stacked", before, layer, shown)
    pooled = any(operation(node).startswith(POOLS) for node in nodes)
    if not kinds and not pooled and not _factors(model, before, layer):
        return Doubt("missing", before, layer)
    return None


def _stacked(nodes: list[Any]) -> bool:
    """Tell whether some activation is given what another puts out."""
    kinds = [operation(node) for node in nodes]
    return any({one, two} <= ACTIVATIONS for one, two in pairwise(kinds))


def _named(node: Any, acts: dict[Any, str]) -> str:
    return acts.get(node, f"({operation(node).lower()})")


def _factors(model: nn.Module, before: str, layer: str) -> bool:
    """Tell whether two layers make up one on purpose, as factors of it."""
    one, two = model.get_submodule(before), model.get_submodule(layer)
    if any(getattr(module, "groups", 1) > 1 for module in (one, two)):
        return True
    (first, inner), (_, last) = _widths(one), _widths(two)
    return inner < min(first, last)


def _widths(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, _ConvNd):
        return module.in_channels, module.out_channels
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features
