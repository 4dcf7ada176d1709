"""A look at how the checkpoint was put into its model."""

from collections.abc import Iterator

from auditor.core.request import Unavailable
from auditor.core.subject import LeftOut
from auditor.intake.subject import Subject
from auditor.observations.left_out import LoadedWeights, LoadedWeightsOf, Unfit


def loaded_weights(request: LoadedWeightsOf, subject: Subject) -> LoadedWeights | Unavailable:
    """Tell which tensors of checkpoint and model were left out, as the spec allows."""
    model, checkpoint = subject.model, subject.checkpoint
    if model is None or checkpoint is None:
        return Unavailable("no checkpoint was put into a model")
    return LoadedWeights(
        tensors=len(checkpoint.weights),
        values=sum(parameter.numel() for parameter in model.parameters()),
        unfit=tuple(_unfit(subject, checkpoint.facts.left_out)),
    )


def _unfit(subject: Subject, left_out: LeftOut) -> Iterator[Unfit]:
    assert subject.model is not None
    assert subject.checkpoint is not None
    parameters = dict(subject.model.named_parameters(remove_duplicate=False))
    held = subject.model.state_dict() | parameters
    for why, names in (("missing", left_out.missing), ("misshapen", left_out.misshapen)):
        for name in names:
            yield Unfit(name, why, name in parameters, held[name].numel())
    for name in left_out.unexpected:
        yield Unfit(name, "unexpected", False, subject.checkpoint.weights[name].numel())
