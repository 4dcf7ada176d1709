"""The loss of each batch, against the loss itself."""

import numpy as np
import pytest
import torch

from auditor.core.request import Failed
from auditor.observations.losses import LossesOver
from tests.awkward import TABLE, Awkward
from tests.observers.naive import sweeping, swept

ASKED = LossesOver(batches=4, split="val")


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_losses_agree_and_merge(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert not isinstance(seen, Failed), seen
    batches = list(subject.batches("val", 4))
    with sweeping(subject, ASKED) as model, torch.no_grad():
        expected = [float(subject.loss(model(*b.args, **b.kwargs), b.target)) for b in batches]
    np.testing.assert_allclose(seen.values, expected, rtol=1e-6)
    assert seen.sizes.tolist() == [batch.size for batch in batches]
    first = swept(subject, LossesOver(batches=1, split="val"))
    merged = first.merge(seen)
    np.testing.assert_array_equal(merged.values, [*first.values, *seen.values])
    assert merged.sizes.tolist() == [batches[0].size, *seen.sizes]
