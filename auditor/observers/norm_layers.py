"""Looks at the layers that normalise over a batch; runs nothing."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.intake.running_statistics import BASE, keeps_statistics
from auditor.intake.subject import Subject
from auditor.observations.norm_layers import NormLayer, NormLayers, NormLayersOf

EPS = 1e-5
"""What torch adds to variances unless told otherwise; a checkpoint does not say."""


def norm_layers(request: NormLayersOf, subject: Subject) -> NormLayers | Unavailable:
    """Return the layers of the model, or of the checkpoint where there is no model."""
    if subject.model is not None:
        return NormLayers(tuple(_held(subject.model)), modes=True)
    if subject.checkpoint is None:
        return Unavailable("there are no weights")
    return NormLayers(tuple(_saved(subject.checkpoint.weights)), modes=False)


def _held(model: nn.Module) -> Iterator[NormLayer]:
    norms = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, BASE) or keeps_statistics(module)
    ]
    trained = _modes(model, [module for _, module in norms], training=True)
    tested = _modes(model, [module for _, module in norms], training=False)
    for (name, module), training, testing in zip(norms, trained, tested, strict=True):
        own = isinstance(module, BASE)
        momentum = getattr(module, "momentum", math.nan)
        tensors = {**module._buffers, **module._parameters}
        yield _layer(
            name,
            type(module).__name__,
            {key: value for key, value in tensors.items() if value is not None},
            float(getattr(module, "eps", EPS)),
            None if momentum is None else float(momentum),
            frozen=own and not training,
            awake=own and testing and keeps_statistics(module),
        )


def _modes(model: nn.Module, norms: list[nn.Module], *, training: bool) -> list[bool]:
    """Return which layers are in training mode once the model was put in a mode."""
    try:
        model.train(training)
    except Exception:  # noqa: BLE001 - a model made for inference may refuse
        return [training] * len(norms)
    return [norm.training for norm in norms]


def _saved(weights: dict[str, torch.Tensor]) -> Iterator[NormLayer]:
    for name in weights:
        layer, _, kept = name.rpartition(".")
        if kept != "running_var":
            continue
        keys = ("running_mean", "running_var", "num_batches_tracked", "weight")
        named = {key: f"{layer}.{key}".lstrip(".") for key in keys}
        found = {key: weights[full] for key, full in named.items() if full in weights}
        yield _layer(layer, "", found, EPS, math.nan)


def _layer(
    name: str,
    kind: str,
    tensors: dict[str, torch.Tensor],
    eps: float,
    momentum: float | None,
    *,
    frozen: bool = False,
    awake: bool = False,
) -> NormLayer:
    mean, variance = tensors.get("running_mean"), tensors.get("running_var")
    counted, scales = tensors.get("num_batches_tracked"), tensors.get("weight")
    running = mean is not None and variance is not None
    channels, untouched, constant, impossible = 0, False, 0, 0
    if mean is not None and variance is not None:
        channels = variance.numel()
        untouched = not bool(mean.any()) and bool((variance == 1).all())
        wrong = ~(mean.isfinite() & variance.isfinite() & (variance >= 0))
        impossible = int(wrong.sum())
        constant = int(((variance < eps) & ~wrong).sum())
    elif scales is not None:
        channels = scales.numel()
    return NormLayer(
        layer=name,
        kind=kind,
        channels=channels,
        eps=eps,
        momentum=momentum,
        updates=float(counted) if counted is not None and counted.numel() == 1 else math.nan,
        running=running,
        untouched=untouched,
        constant=constant,
        impossible=impossible,
        scales=scales is not None,
        zeros=int((scales == 0).sum()) if scales is not None else 0,
        negatives=int((scales < 0).sum()) if scales is not None else 0,
        frozen=frozen,
        awake=awake,
    )
