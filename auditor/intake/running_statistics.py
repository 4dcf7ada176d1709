"""Layers that normalise by running statistics: which they are, and what they are given."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from auditor.core.values import Array
from auditor.observations.batch_norm import BatchNormLayer

BASE = nn.modules.batchnorm._NormBase
INSTANCE = nn.modules.instancenorm._InstanceNorm

GROUPS = 4
"""Groups of examples that each batch is seen as, so that the scatter between them can be told."""


def keeps_statistics(module: nn.Module) -> bool:
    """Tell whether a layer keeps a running mean and variance for each channel.

    Beside torch's own these are layers made alike, such as batch norm that is frozen for good.
    """
    mean, variance = (module._buffers.get(f"running_{name}") for name in ("mean", "var"))
    if mean is None or variance is None:
        return False
    return mean.ndim == 1 and mean.shape == variance.shape and mean.is_floating_point()


def keepers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every layer that keeps running statistics, by name."""
    for name, module in model.named_modules():
        if keeps_statistics(module):
            yield name, module


def renewable(model: nn.Module) -> list[nn.Module]:
    """Return the layers whose running statistics torch itself computes in training mode."""
    return [m for _, m in keepers(model) if isinstance(m, BASE)]


class Moments:
    """The moments of what a layer is given, per channel, by groups of examples.

    Of instance norm each example counts by itself: the variance is the mean of theirs.
    """

    def __init__(self, module: nn.Module) -> None:
        self._eps = float(getattr(module, "eps", 0.0))
        self._within = isinstance(module, INSTANCE)
        running = module._buffers["running_mean"], module._buffers["running_var"]
        self._running = [kept.detach().clone() for kept in running if kept is not None]
        self._calls: list[tuple[Array, torch.Tensor, torch.Tensor]] = []

    def add(self, values: torch.Tensor) -> None:
        """Add the inputs of one call; the second dimension counts the channels."""
        if values.ndim < 2 or not values.numel() or values.shape[1] != len(self._running[0]):
            return
        values = values.detach()
        values = values if values.dtype == torch.float64 else values.float()
        groups = min(GROUPS, len(values))
        if len(values) % groups:
            parts = [part.unsqueeze(0) for part in values.tensor_split(groups)]
        else:
            parts = [values.unflatten(0, (groups, -1))]
        counts, means, variances = [], [], []
        for part in parts:
            if self._within and part.ndim > 3:
                variance, mean = torch.var_mean(part.flatten(3), dim=3, correction=0)
                variance, mean = variance.mean(dim=1), mean.mean(dim=1)
            else:
                dims = [dim for dim in range(1, part.ndim) if dim != 2]
                variance, mean = torch.var_mean(part, dim=dims, correction=0)
            counts += [part[0].numel() // part.shape[2]] * len(part)
            means.append(mean)
            variances.append(variance)
        self._calls.append((np.asarray(counts), torch.cat(means), torch.cat(variances)))

    def layer(self, name: str) -> BatchNormLayer | None:
        """Return what was seen, None where nothing was."""
        if not self._calls:
            return None
        mean, variance = (_numbers(kept) for kept in self._running)
        return BatchNormLayer.of(
            name,
            self._eps,
            mean,
            variance,
            np.concatenate([counts for counts, _, _ in self._calls]),
            _numbers(torch.cat([means for _, means, _ in self._calls])),
            _numbers(torch.cat([variances for _, _, variances in self._calls])),
            self._within,
        )

    def variances(self) -> Array:
        """Return the variance within each call, [calls, channels]."""
        rows = []
        for counts, means, variances in self._calls:
            weights = torch.as_tensor(counts / counts.sum(), device=means.device)[:, None]
            means, variances = means.double(), variances.double()
            between = 0.0 if self._within else (means - (weights * means).sum(dim=0)).square()
            rows.append((weights * (variances + between)).sum(dim=0))
        return _numbers(torch.stack(rows)) if rows else np.zeros((0, len(self._running[0])))


def _numbers(tensor: torch.Tensor) -> Array:
    return tensor.double().cpu().numpy()
