import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.loss_terms import loss_terms
from auditor.intake.losses import main_output
from auditor.observations.loss_terms import MOST_TERMS, LossTermsOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors

REQUEST = LossTermsOver(batches=3, split="train")


def fit(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(main_output(outputs).float(), target)


def size(outputs: Any, target: Any) -> torch.Tensor:
    return main_output(outputs).square().mean()


def constant(outputs: Any, target: Any) -> torch.Tensor:
    return torch.ones(())


@pytest.mark.parametrize("name", ["mlp", "shared-relu", "tied", "dict-output", "lstm", "sparse"])
def test_values_and_gradients_are_those_of_plain_passes(name: str) -> None:
    case = BY_NAME[name]
    terms = {"fit": fit, "size": size, "constant": constant}
    if name == "tied":
        terms["fit"] = size
    subject = subject_of(case.model(), case.batches(), terms, factory=case.build)
    seen = loss_terms(REQUEST, subject)
    model = case.model().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    for number, (inputs, target) in enumerate(case.batches()[:3]):
        outputs = model(inputs)
        flat = []
        for place, term in enumerate((terms["fit"], size)):
            value = term(outputs, target)
            assert seen.checkpoint.values[number, place] == pytest.approx(float(value), rel=1e-4)
            found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            flat.append(torch.cat([g.to_dense().flatten() for g in found if g is not None]))
            norm = float(flat[-1].norm())
            assert seen.checkpoint.norms[number, place] == pytest.approx(norm, rel=1e-3)
        product = float(flat[0] @ flat[1])
        bound = float(flat[0].norm() * flat[1].norm())
        assert seen.checkpoint.products[number, 0, 1] == pytest.approx(product, abs=1e-4 * bound)
    assert (seen.checkpoint.norms[:, 2] == 0).all()
    assert seen.checkpoint.own[2] == 0
    assert seen.terms == ("fit", "size", "constant")
    assert seen.fresh is not None


@pytest.mark.parametrize("case", [case for case in TABLE if case.trains], ids=str)
def test_awkward_models_are_taken_apart(case: Awkward) -> None:
    def own(outputs: Any, target: Any) -> torch.Tensor:
        return main_output(outputs).float().square().mean()

    terms = {"one": own, "other": lambda outputs, target: 2 * own(outputs, target)}
    subject = subject_of(case.model(), case.batches(), terms, task="custom", factory=case.build)
    seen = loss_terms(REQUEST, subject)
    for at in (seen.checkpoint, seen.fresh):
        np.testing.assert_allclose(at.norms[:, 1], 2 * at.norms[:, 0], rtol=2e-2)
        sizes = np.sqrt(at.products[:, 0, 0] * at.products[:, 1, 1])
        np.testing.assert_allclose(at.products[:, 0, 1], sizes, rtol=2e-2)


class Apart(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.a(x), self.b(x)


def test_terms_that_share_nothing() -> None:
    terms = {"a": lambda o, t: o[0].square().mean(), "b": lambda o, t: o[1].square().mean()}
    seen = loss_terms(REQUEST, subject_of(Apart(), vectors(), terms, task="custom"))
    assert seen.checkpoint.shared == 0
    assert seen.checkpoint.own == (2, 2)
    assert (seen.checkpoint.norms > 0).all()
    assert seen.fresh is None


def test_a_term_that_is_not_finite_is_kept_as_such() -> None:
    terms = {"fit": fit, "bad": lambda o, t: o.square().mean() * math.inf}
    seen = loss_terms(REQUEST, subject_of(BY_NAME["mlp"].model(), vectors(), terms))
    assert np.isnan(seen.checkpoint.values[:, 1]).all()
    assert np.isfinite(seen.checkpoint.values[:, 0]).all()


def test_only_so_many_terms_are_looked_at() -> None:
    terms = {f"term {number}": size for number in range(MOST_TERMS + 2)}
    seen = loss_terms(REQUEST, subject_of(BY_NAME["mlp"].model(), vectors(), terms, task="custom"))
    assert len(seen.terms) == MOST_TERMS
    assert seen.left_out == 2


@pytest.mark.parametrize(
    ("name", "loss", "words"),
    [
        ("mlp", "cross_entropy", "one callable"),
        ("frozen-whole", {"a": fit, "b": size}, "trainable"),
    ],
)
def test_reasons_not_to_look(name: str, loss: Any, words: str) -> None:
    answer = loss_terms(REQUEST, subject_of(BY_NAME[name].model(), vectors(), loss))
    assert isinstance(answer, Unavailable)
    assert words in answer.reason
