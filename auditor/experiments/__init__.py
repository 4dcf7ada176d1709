"""What must be tried on a copy: which experiment answers which request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from auditor.core.request import Request
from auditor.experiments.ablation import ablations
from auditor.experiments.activation_pictures import activation_pictures
from auditor.experiments.activation_trial import activation_trial
from auditor.experiments.attributions import attributions
from auditor.experiments.baselines import simple_models
from auditor.experiments.batch_leak import batch_leak
from auditor.experiments.batch_order import batch_order
from auditor.experiments.capacity import capacity
from auditor.experiments.continued import continued
from auditor.experiments.curvature import curvature
from auditor.experiments.dropout import dropout
from auditor.experiments.frozen_trial import frozen_trial
from auditor.experiments.future_use import future_use
from auditor.experiments.gate_orders import gate_orders
from auditor.experiments.gradient_check import gradient_check
from auditor.experiments.gradient_noise import gradient_noise
from auditor.experiments.initial_loss import fresh_losses
from auditor.experiments.initial_sizes import initial_sizes
from auditor.experiments.initial_weights import initial_weights
from auditor.experiments.input_use import input_use
from auditor.experiments.inputs import input_statistics
from auditor.experiments.labels import label_evidence
from auditor.experiments.layer_repair import layer_repairs
from auditor.experiments.loss_cure import loss_cure
from auditor.experiments.loss_probe import loss_probe
from auditor.experiments.loss_terms import loss_terms
from auditor.experiments.norm_trial import norm_trial
from auditor.experiments.optimizer_race import optimizer_race
from auditor.experiments.overfit import overfit_trials
from auditor.experiments.preparation import preparation
from auditor.experiments.rate_trials import rate_trials
from auditor.experiments.reach import silence_causes
from auditor.experiments.regularisation import regularisation
from auditor.experiments.reproducibility import reproducibility
from auditor.experiments.rescaling import rescaled
from auditor.experiments.shared_examples import shared_examples
from auditor.experiments.sharpness import sharpness
from auditor.experiments.short_run import short_runs
from auditor.experiments.step_changes import step_changes
from auditor.experiments.target_relation import target_relation
from auditor.experiments.term_trials import term_trials
from auditor.experiments.through_time import through_time
from auditor.experiments.trained_twice import trained_twice
from auditor.experiments.treatment import treated
from auditor.experiments.updates import update_ratios
from auditor.observations.ablation import AblationsOver
from auditor.observations.activation_pictures import ActivationPicturesOver
from auditor.observations.activation_trial import ActivationTrialOver
from auditor.observations.attributions import AttributionsOver
from auditor.observations.baselines import SimpleModelsOver
from auditor.observations.batch_leak import BatchLeakOver
from auditor.observations.batch_order import BatchOrderOver
from auditor.observations.capacity import CapacityOver
from auditor.observations.continued import ContinuedFrom
from auditor.observations.curvature import CurvatureOver
from auditor.observations.dropout import DropoutOver
from auditor.observations.frozen_trial import FrozenTrialOver
from auditor.observations.future_use import FutureUseOver
from auditor.observations.gate_orders import GateOrdersOver
from auditor.observations.gradient_check import GradientCheckOver
from auditor.observations.gradient_noise import GradientNoiseFrom
from auditor.observations.initial_loss import FreshLossesOver
from auditor.observations.initial_sizes import InitialSizesOver
from auditor.observations.initial_weights import InitialWeightsOf
from auditor.observations.input_use import InputUseOver
from auditor.observations.inputs import InputStatisticsOf
from auditor.observations.labels import LabelEvidenceOver
from auditor.observations.layer_repair import LayerRepairsOver
from auditor.observations.loss_cure import LossCureFrom
from auditor.observations.loss_probe import LossProbeOver
from auditor.observations.loss_terms import LossTermsOver
from auditor.observations.norm_trial import NormTrialOver
from auditor.observations.optimizer_race import OptimizerRaceOver
from auditor.observations.overfit import OverfitTrialsOver
from auditor.observations.preparation import PreparedOver
from auditor.observations.rate_trials import RateTrialsOver
from auditor.observations.reach import SilenceCausesOver
from auditor.observations.regularisation import RegularisationOver
from auditor.observations.reproducibility import ReproducibilityOver
from auditor.observations.rescaling import RescaledOver
from auditor.observations.shared_examples import SharedExamplesOver
from auditor.observations.sharpness import SharpnessOver
from auditor.observations.short_run import ShortRunsOver
from auditor.observations.step_changes import StepChangesOver
from auditor.observations.target_relation import TargetRelationOver
from auditor.observations.term_trials import TermTrialsOver
from auditor.observations.through_time import ThroughTimeOver
from auditor.observations.trained_twice import TrainedTwiceOver
from auditor.observations.treatment import TreatmentOver
from auditor.observations.updates import UpdateRatiosFrom

EXPERIMENTS: Mapping[type[Request[Any]], Callable[..., Any]] = MappingProxyType(
    {
        AblationsOver: ablations,
        ActivationPicturesOver: activation_pictures,
        ActivationTrialOver: activation_trial,
        AttributionsOver: attributions,
        BatchLeakOver: batch_leak,
        BatchOrderOver: batch_order,
        CapacityOver: capacity,
        CurvatureOver: curvature,
        DropoutOver: dropout,
        ContinuedFrom: continued,
        FreshLossesOver: fresh_losses,
        FrozenTrialOver: frozen_trial,
        FutureUseOver: future_use,
        GateOrdersOver: gate_orders,
        GradientCheckOver: gradient_check,
        GradientNoiseFrom: gradient_noise,
        InitialSizesOver: initial_sizes,
        InitialWeightsOf: initial_weights,
        InputStatisticsOf: input_statistics,
        InputUseOver: input_use,
        LabelEvidenceOver: label_evidence,
        LayerRepairsOver: layer_repairs,
        LossCureFrom: loss_cure,
        LossProbeOver: loss_probe,
        LossTermsOver: loss_terms,
        NormTrialOver: norm_trial,
        OptimizerRaceOver: optimizer_race,
        OverfitTrialsOver: overfit_trials,
        TreatmentOver: treated,
        PreparedOver: preparation,
        RateTrialsOver: rate_trials,
        RegularisationOver: regularisation,
        ReproducibilityOver: reproducibility,
        RescaledOver: rescaled,
        SharpnessOver: sharpness,
        SharedExamplesOver: shared_examples,
        ShortRunsOver: short_runs,
        SilenceCausesOver: silence_causes,
        SimpleModelsOver: simple_models,
        StepChangesOver: step_changes,
        TargetRelationOver: target_relation,
        TermTrialsOver: term_trials,
        ThroughTimeOver: through_time,
        TrainedTwiceOver: trained_twice,
        UpdateRatiosFrom: update_ratios,
    }
)
