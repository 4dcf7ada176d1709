"""What must be tried on a copy: which experiment answers which request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from auditor.core.request import Request
from auditor.experiments.ablation import ablations
from auditor.experiments.baselines import simple_models
from auditor.experiments.capacity import capacity
from auditor.experiments.initial_loss import fresh_losses
from auditor.experiments.input_use import input_use
from auditor.experiments.inputs import input_statistics
from auditor.experiments.labels import label_evidence
from auditor.experiments.loss_cure import loss_cure
from auditor.experiments.loss_probe import loss_probe
from auditor.experiments.loss_terms import loss_terms
from auditor.experiments.overfit import overfit_trials
from auditor.experiments.rescaling import rescaled
from auditor.experiments.short_run import short_runs
from auditor.experiments.updates import update_ratios
from auditor.observations.ablation import AblationsOver
from auditor.observations.baselines import SimpleModelsOver
from auditor.observations.capacity import CapacityOver
from auditor.observations.initial_loss import FreshLossesOver
from auditor.observations.input_use import InputUseOver
from auditor.observations.inputs import InputStatisticsOf
from auditor.observations.labels import LabelEvidenceOver
from auditor.observations.loss_cure import LossCureFrom
from auditor.observations.loss_probe import LossProbeOver
from auditor.observations.loss_terms import LossTermsOver
from auditor.observations.overfit import OverfitTrialsOver
from auditor.observations.rescaling import RescaledOver
from auditor.observations.short_run import ShortRunsOver
from auditor.observations.updates import UpdateRatiosFrom

EXPERIMENTS: Mapping[type[Request[Any]], Callable[..., Any]] = MappingProxyType(
    {
        AblationsOver: ablations,
        FreshLossesOver: fresh_losses,
        InputStatisticsOf: input_statistics,
        RescaledOver: rescaled,
        SimpleModelsOver: simple_models,
        CapacityOver: capacity,
        LabelEvidenceOver: label_evidence,
        LossCureFrom: loss_cure,
        LossProbeOver: loss_probe,
        LossTermsOver: loss_terms,
        InputUseOver: input_use,
        OverfitTrialsOver: overfit_trials,
        ShortRunsOver: short_runs,
        UpdateRatiosFrom: update_ratios,
    }
)
