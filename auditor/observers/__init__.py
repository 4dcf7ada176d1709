"""How things are seen: which observer, or which look of its own, answers which request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from auditor.core.request import Request, Riding
from auditor.intake.subject import Subject
from auditor.observations.activation_scale import ActivationScaleInTraining, ActivationScaleOver
from auditor.observations.activity import UnitActivityOver
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.claims import ClaimsOf
from auditor.observations.code import CodeOf
from auditor.observations.earlier import EarlierOf
from auditor.observations.environment import EnvironmentEvidenceOf, EnvironmentNow
from auditor.observations.features import FeaturesOver
from auditor.observations.finite import NonFiniteInTrainingOver, NonFiniteOver, WeightFlagsOf
from auditor.observations.fresh_activity import FreshActivityOver
from auditor.observations.gradient_memory import GradientMemoryOver
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.left_out import LoadedWeightsOf
from auditor.observations.losses import LossesOver
from auditor.observations.norm_layers import NormLayersOf, NormSequenceOver
from auditor.observations.optimizer_moments import OptimizerMomentsOf
from auditor.observations.optimizer_state import OptimizersHeldIn
from auditor.observations.performance import PerformanceOver
from auditor.observations.predictions import PredictionsOver
from auditor.observations.reach import ParameterReachOver
from auditor.observations.saturation import SaturationOver
from auditor.observations.schedule import ScheduleOf
from auditor.observations.setting_sources import SettingSourcesOf
from auditor.observations.settings import SettingsOf
from auditor.observations.splits import SplitsOf
from auditor.observations.structure import StructureOver, TensorsOf
from auditor.observations.targets import TargetsOf
from auditor.observations.training_log import TrainingLogOf
from auditor.observations.weight_matrices import WeightMatricesOf
from auditor.observers.activation_scale import ActivationScaleObserver
from auditor.observers.activity import UnitActivityObserver
from auditor.observers.batch_norm import BatchNormObserver
from auditor.observers.claims import claims
from auditor.observers.code import code_state
from auditor.observers.facts import (
    earlier,
    environment_evidence,
    environment_now,
    targets,
    tensors,
    weight_flags,
)
from auditor.observers.features import FeaturesObserver
from auditor.observers.finite import NonFiniteObserver
from auditor.observers.fresh_activity import fresh_activity
from auditor.observers.gradient_memory import GradientMemoryObserver
from auditor.observers.gradients import GradientNormsObserver
from auditor.observers.left_out import loaded_weights
from auditor.observers.losses import LossesObserver
from auditor.observers.norm_layers import norm_layers
from auditor.observers.norm_sequence import NormSequenceObserver
from auditor.observers.observer import Observer
from auditor.observers.optimizer_moments import optimizer_moments
from auditor.observers.optimizer_state import optimizers_held
from auditor.observers.performance import PerformanceObserver
from auditor.observers.predictions import PredictionsObserver
from auditor.observers.reach import ParameterReachObserver
from auditor.observers.saturation import SaturationObserver
from auditor.observers.schedule import schedule
from auditor.observers.setting_sources import setting_sources
from auditor.observers.settings import settings
from auditor.observers.splits import splits
from auditor.observers.structure import StructureObserver
from auditor.observers.training_log import training_log
from auditor.observers.weight_matrices import weight_matrices

OBSERVERS: Mapping[type[Riding[Any]], Callable[[Any, Subject], Observer]] = MappingProxyType(
    {
        ActivationScaleInTraining: ActivationScaleObserver,
        ActivationScaleOver: ActivationScaleObserver,
        BatchNormStatisticsOver: BatchNormObserver,
        FeaturesOver: FeaturesObserver,
        GradientMemoryOver: GradientMemoryObserver,
        GradientNormsOver: GradientNormsObserver,
        LossesOver: LossesObserver,
        NonFiniteInTrainingOver: NonFiniteObserver,
        NonFiniteOver: NonFiniteObserver,
        NormSequenceOver: NormSequenceObserver,
        ParameterReachOver: ParameterReachObserver,
        PerformanceOver: PerformanceObserver,
        PredictionsOver: PredictionsObserver,
        SaturationOver: SaturationObserver,
        StructureOver: StructureObserver,
        UnitActivityOver: UnitActivityObserver,
    }
)

FACTS: Mapping[type[Request[Any]], Callable[..., Any]] = MappingProxyType(
    {
        ClaimsOf: claims,
        CodeOf: code_state,
        EarlierOf: earlier,
        EnvironmentEvidenceOf: environment_evidence,
        EnvironmentNow: environment_now,
        FreshActivityOver: fresh_activity,
        LoadedWeightsOf: loaded_weights,
        NormLayersOf: norm_layers,
        OptimizerMomentsOf: optimizer_moments,
        OptimizersHeldIn: optimizers_held,
        ScheduleOf: schedule,
        SettingSourcesOf: setting_sources,
        SettingsOf: settings,
        SplitsOf: splits,
        TargetsOf: targets,
        TensorsOf: tensors,
        TrainingLogOf: training_log,
        WeightFlagsOf: weight_flags,
        WeightMatricesOf: weight_matrices,
    }
)
