"""How things are seen: which observer, or which look without a pass, answers which request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from auditor.core.request import Request, Riding
from auditor.intake.subject import Subject
from auditor.observations.activity import UnitActivityOver
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.environment import EnvironmentEvidenceOf
from auditor.observations.finite import NonFiniteOver, WeightFlagsOf
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.performance import PerformanceOver
from auditor.observations.predictions import PredictionsOver
from auditor.observations.targets import TargetsOf
from auditor.observers.activity import UnitActivityObserver
from auditor.observers.batch_norm import BatchNormObserver
from auditor.observers.facts import environment_evidence, targets, weight_flags
from auditor.observers.finite import NonFiniteObserver
from auditor.observers.gradients import GradientNormsObserver
from auditor.observers.observer import Observer
from auditor.observers.performance import PerformanceObserver
from auditor.observers.predictions import PredictionsObserver

OBSERVERS: Mapping[type[Riding[Any]], Callable[[Any, Subject], Observer]] = MappingProxyType(
    {
        BatchNormStatisticsOver: BatchNormObserver,
        GradientNormsOver: GradientNormsObserver,
        NonFiniteOver: NonFiniteObserver,
        PerformanceOver: PerformanceObserver,
        PredictionsOver: PredictionsObserver,
        UnitActivityOver: UnitActivityObserver,
    }
)

FACTS: Mapping[type[Request[Any]], Callable[..., Any]] = MappingProxyType(
    {
        EnvironmentEvidenceOf: environment_evidence,
        TargetsOf: targets,
        WeightFlagsOf: weight_flags,
    }
)
