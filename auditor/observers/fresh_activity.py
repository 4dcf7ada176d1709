"""Sees which units fire in fresh models, as they are seen in the audited one."""

from collections.abc import Callable

import torch
from torch import nn

from auditor.intake.modes import dropout_off
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.activity import UnitActivity, UnitActivityOver
from auditor.observations.fresh_activity import MANY, FreshActivity, FreshActivityOver
from auditor.observers.activity import UnitActivityObserver
from auditor.observers.observer import Step
from auditor.observers.tap import Tap


def fresh_activity(request: FreshActivityOver, subject: Subject) -> FreshActivity:
    """Look at fresh models where a layer of the audited one has many silent units."""
    assert subject.model is not None
    subject.model.eval()
    if _fire(_activity(request, subject, subject.model, until=_fire)):
        return FreshActivity(())
    seeds = [derived_seed(subject.seed, f"fresh {number}") for number in range(request.seeds)]
    return FreshActivity(tuple(_of_fresh(request, subject, seed) for seed in seeds))


def _fire(seen: UnitActivity) -> bool:
    """Tell whether no layer has many silent units; more examples leave no more of them."""
    return all(layer.dead <= MANY * layer.fired.size for layer in seen.layers)


def _of_fresh(request: FreshActivityOver, subject: Subject, seed: int) -> UnitActivity:
    model = subject.fresh(seed)
    dropout_off(model, subject.facts.data[request.split].batch_size)
    return _activity(request, subject, model)


@torch.no_grad()
def _activity(
    request: FreshActivityOver,
    subject: Subject,
    model: nn.Module,
    until: Callable[[UnitActivity], bool] | None = None,
) -> UnitActivity:
    """Return the activity of a model in the mode that it is in, `until` enough was seen."""
    asked = UnitActivityOver(batches=request.batches, split=request.split)
    observer, tap = UnitActivityObserver(asked, subject), Tap(model)
    by_batch = any(module.training for module in model.modules())
    with seeded(derived_seed(subject.seed, request.key)):
        for index, batch in enumerate(subject.batches(request.split, request.batches)):
            if by_batch and batch.size == 1:
                continue
            with tap.open([observer], gradients=False):
                outputs = model(*batch.args, **batch.kwargs)
            observer.step(Step(index, batch, outputs, None, {}))
            if until is not None and until(observer.result()):
                break
    return observer.result()
