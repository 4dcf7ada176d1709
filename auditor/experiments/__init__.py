"""What must be tried on a copy: which experiment answers which request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from auditor.core.request import Request
from auditor.experiments.initial_loss import fresh_losses
from auditor.experiments.updates import update_ratios
from auditor.observations.initial_loss import FreshLossesOver
from auditor.observations.updates import UpdateRatiosFrom

EXPERIMENTS: Mapping[type[Request[Any]], Callable[..., Any]] = MappingProxyType(
    {
        FreshLossesOver: fresh_losses,
        UpdateRatiosFrom: update_ratios,
    }
)
