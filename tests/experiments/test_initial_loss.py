import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.initial_loss import fresh_losses
from auditor.intake.losses import main_output
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.initial_loss import FreshLosses, FreshLossesOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors

ASKED = FreshLossesOver(seeds=2, batches=3, split="train")


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_losses_agree_with_models_built_by_hand(case: Awkward) -> None:
    subject = case.subject()
    seen = fresh_losses(ASKED, subject)
    assert isinstance(seen, FreshLosses)
    assert seen.losses.shape == (2, 3)
    trained = case.model().eval()
    expected, checkpoint, spread = [], [], []
    for number in range(2):
        seed = derived_seed(0, f"fresh {number}")
        with seeded(seed):
            model = case.build()
        if case.name == "old-spectral-norm":
            with torch.no_grad():
                model.train()(case.batches()[0][0])
        for module in model.eval().modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.train()
        row, deviations = [], []
        with seeded(seed), torch.no_grad():
            for batch in subject.batches("train", 3):
                outputs = model(*batch.args, **batch.kwargs)
                row.append(float(subject.loss(outputs, batch.target)))
                main = main_output(outputs).float()
                deviations.append(float(main.std()) if main.numel() > 1 else 0.0)
        expected.append(row)
        spread.append(np.mean(deviations))
    with torch.no_grad():
        for batch in subject.batches("train", 3):
            outputs = trained(*batch.args, **batch.kwargs)
            checkpoint.append(float(subject.loss(outputs, batch.target)))
    np.testing.assert_allclose(seen.losses, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seen.output_deviation, spread, rtol=1e-3, atol=1e-6)
    assert seen.checkpoint_loss == pytest.approx(np.mean(checkpoint), rel=1e-2)
    assert seen.outputs == subject.facts.outputs


def test_inputs_are_described_where_they_are_numbers() -> None:
    seen = fresh_losses(ASKED, BY_NAME["mlp"].subject())
    whole = torch.cat([x for x, _ in vectors()[:3]]).double()
    assert seen.input_mean == pytest.approx(float(whole.mean()))
    assert seen.input_deviation == pytest.approx(float(whole.std(correction=0)))
    tokens = fresh_losses(ASKED, BY_NAME["lstm"].subject())
    assert np.isnan([tokens.input_mean, tokens.input_deviation]).all()


def test_dropout_is_off() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Dropout(0.99), nn.Linear(8, 3))

    subject = subject_of(build(), vectors(), "cross_entropy", factory=build)
    seen = fresh_losses(ASKED, subject)
    with seeded(derived_seed(0, "fresh 0")):
        model = build().eval()
    x, y = vectors()[0]
    assert seen.losses[0, 0] == pytest.approx(
        float(functional.cross_entropy(model(x), y).detach()), rel=1e-5
    )


def test_outputs_that_are_no_tensor_leave_only_their_spread_unknown() -> None:
    class Odd(nn.Linear):
        def forward(self, x: torch.Tensor) -> object:
            return Holder(super().forward(x))

    class Holder:
        def __init__(self, inner: torch.Tensor) -> None:
            self.inner = inner

    def loss(outputs: Holder, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.inner, target)

    subject = subject_of(Odd(8, 3), vectors(), loss, factory=lambda: Odd(8, 3))
    seen = fresh_losses(ASKED, subject)
    assert np.isfinite(seen.losses).all()
    assert np.isnan(seen.output_deviation).all()


def test_fewer_batches_than_asked_are_all_there_is() -> None:
    seen = fresh_losses(FreshLossesOver(2, 9, "train"), BY_NAME["mlp"].subject())
    assert seen.losses.shape == (2, 4)


def test_what_the_inputs_cost_in_the_place_of_the_output() -> None:
    noise = 0.5 * torch.ones(6, 8)
    clean = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))

    def handed_on(target: torch.Tensor) -> float:
        batches = [(clean + noise, target)]
        subject = subject_of(
            nn.Linear(8, target.shape[1]), batches, "mse_loss",
            factory=lambda: nn.Linear(8, target.shape[1]),
        )  # fmt: skip
        return fresh_losses(ASKED, subject).handed_on_loss

    assert handed_on(clean) == pytest.approx(0.25)
    assert np.isnan(handed_on(clean[:, :3]))
