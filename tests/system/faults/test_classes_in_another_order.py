"""Outputs or targets numbered by another list of classes: found, and the order is named."""

from dataclasses import replace

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped
from tests.zoo import healthy

CHECK = "classes-in-another-order"


def rotate(model: nn.Module) -> None:
    for parameter in model.head.parameters():
        parameter.data = parameter.data.roll(1, 0)


def test_a_head_whose_outputs_stand_in_another_order(names: Live) -> None:
    assert names.finding(CHECK).verdict is Verdict.PASS
    live = broken(names, rotate)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert ("class 0", "answered as class 1") in [(p.name, p.note) for p in found.where]
    assert "it is the model's outputs" in found.summary
    assert live.audited(CHECK, "trained-loss-off").causes[0].id == CHECK


def test_validation_targets_numbered_by_another_list(digits: Live) -> None:
    order = torch.tensor([0, 1, 3, 2, 5, 4, 7, 6, 9, 8])
    live = replace(digits, val=mapped(digits.val, lambda x, y: (x, order[y])))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert len(found.where) == 8
    assert "it is the validation data" in found.summary


def test_a_regression_has_no_classes(diabetes: Live) -> None:
    assert diabetes.finding(CHECK).verdict is Verdict.NOT_APPLICABLE


def test_language_and_images_in_order_pass(language: Live) -> None:
    assert language.finding(CHECK).verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)
    assert healthy("digits_cnn").finding(CHECK).verdict is Verdict.PASS
