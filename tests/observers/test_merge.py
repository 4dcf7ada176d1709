"""One sweep over all batches tells the same as several over parts of them, merged."""

from typing import Any

import pytest

from auditor.core.request import Riding, Unavailable
from auditor.observations.activation_scale import ActivationScaleInTraining, ActivationScaleOver
from auditor.observations.activity import UnitActivityOver
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.finite import NonFiniteOver
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.performance import PerformanceOver
from auditor.observations.saturation import SaturationOver
from auditor.observations.structure import StructureOver
from tests.awkward import TABLE, Awkward
from tests.observers.naive import assert_same, swept

REQUESTS: tuple[Riding[Any], ...] = (
    UnitActivityOver(4, "val"),
    BatchNormStatisticsOver(4, "val"),
    NonFiniteOver(4, "val"),
    PerformanceOver(4, "val"),
    GradientNormsOver(4, "val"),
    StructureOver(1, "val"),
    ActivationScaleOver(4, "val"),
    ActivationScaleInTraining(4, "val"),
    SaturationOver(4, "val"),
)

RANDOM = {
    "mlp", "frozen-part", "frozen-whole", "user-hooks", "lstm", "gru", "encoder", "train-only",
    "spectral-norm", "old-spectral-norm",
}  # fmt: skip
"""Models whose training passes depend on how many passes there were before."""


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_parts_merge_into_the_whole_in_any_grouping(case: Awkward) -> None:
    batches = case.batches()
    whole = case.subject(batches=batches)
    cuts = (batches[:1], batches[1:3], batches[3:])
    subjects = [case.subject(batches=part) for part in cuts]
    for request in REQUESTS:
        if request.mode == "train" and case.name in RANDOM:
            continue
        expected = swept(whole, request)
        if isinstance(expected, Unavailable):
            continue
        a, b, c = (swept(subject, request) for subject in subjects)
        left, right = a.merge(b).merge(c), a.merge(b.merge(c))
        assert_same(left, expected, rtol=1e-6)
        assert_same(right, left)
