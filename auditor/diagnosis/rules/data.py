"""Causes in the data and the loss."""

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.diagnosis.rule import Cure, Rule, Sight
from auditor.diagnosis.rules.effects import FLOW, SETTINGS, UNLEARNT, UNMOVED
from auditor.diagnosis.treatments import (
    always,
    averaged,
    bare,
)
from auditor.observations.treatment import TreatmentOver

FAIL = Verdict.FAIL

STANDARDISE = (
    "Give the model inputs of mean 0 and deviation 1, by the training data's statistics of each "
    "feature or channel, in training and wherever the model is used."
)

SUMMED = "summed over the batch"


def _not_summed(finding: Finding) -> bool:
    return not any(SUMMED in place.note for place in finding.where)


def _not_only_summed(finding: Finding) -> bool:
    return any(SUMMED not in place.note for place in finding.where) or not finding.where


DATA = (
    Rule(
        id="non-finite-values",
        title="Values that are not finite, first in `{place}`",
        plain="Values that are not finite",
        sights=(Sight("non-finite-values", fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "initial-loss-off-chance",
                  "wrong-gradients", "not-reproducible", "stale-batch-norm"),
    ),
    Rule(
        id="inputs-prepared-differently",
        title="Validation inputs are prepared otherwise than those of training ({note})",
        plain="Validation inputs are prepared otherwise than those of training",
        sights=(Sight("inputs-prepared-differently", least=FAIL, fact=True),
                Sight("inputs-prepared-differently"),
                Sight("inputs-not-normalised", (" apart",))),
        explains=(*UNLEARNT, *FLOW, *SETTINGS, "overfitted", "suspicious-labels",
                  "inputs-not-normalised", "stale-batch-norm", "saliency-insensitive"),
    ),
    Rule(
        id="inputs-not-normalised",
        title="Inputs are not on the scale that the model wants ({place})",
        plain="Inputs are not on the scale that the model wants",
        sights=(
            Sight("inputs-not-normalised"),
            Sight("initial-loss-off-chance", ("inputs of",)),
        ),
        signs=(
            ("saturated-units", "dead-units", "activation-scale-off"),
            ("initial-loss-off-chance",),
            ("vanishing-gradients", "update-ratio-off", "disconnected-parameters"),
        ),
        explains=(*UNLEARNT, *FLOW, *SETTINGS, "initial-loss-off-chance", "update-ratio-off",
                  "stale-batch-norm", "weights-degenerate", "features-collapsed",
                  "batch-norm-misused"),
        cures=(
            Cure(
                STANDARDISE,
                always(TreatmentOver(rescaled=True)),
                ("Standardise", "Normalise", "Divide", "Scale"),
            ),
            Cure(
                "Standardise the inputs and raise the learning rate tenfold: large inputs had made "
                "for long steps.",
                always(TreatmentOver(rescaled=True, times=10.0)),
                fallback=True,
            ),
        ),
        equally=(
            "Equally good, and it travels with the weights: make a batch norm without weights the "
            "first layer (`torch.nn.BatchNorm1d(features, affine=False)`, `BatchNorm2d(channels, "
            "affine=False)` for images).",
        ),
    ),
    Rule(
        id="targets-not-standardised",
        title="Targets are far from the scale of the outputs ({note})",
        plain="Targets are far from the scale of the outputs",
        sights=(Sight("initial-loss-off-chance", ("targets of",)),),
        explains=(*UNLEARNT, *SETTINGS, "exploding-gradients", "update-ratio-off"),
        cures=(
            Cure(
                "Standardise the targets by the training data's mean and deviation, and undo that "
                "when predicting.",
                always(TreatmentOver(retargeted=True)),
                ("Standardise the targets",),
            ),
        ),
        equally=(
            "Equally good for the mean alone: start the last bias at the mean of the targets.",
        ),
    ),
    Rule(
        id="classes-in-another-order",
        title="Classes are numbered otherwise than the model learnt ({place} is {note})",
        plain="Classes are numbered otherwise than the model learnt",
        sights=(Sight("classes-in-another-order", least=FAIL, fact=True),
                Sight("classes-in-another-order")),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "suspicious-labels", "overfitted",
                  "loss-unfit-for-task", "inputs-not-normalised", "stale-batch-norm"),
    ),
    Rule(
        id="targets-unrelated",
        title="Inputs and targets of `{place}` do not belong together",
        plain="Inputs and targets do not belong together",
        sights=(Sight("targets-unrelated", fact=True),),
        explains=(*UNLEARNT, *SETTINGS, "overfitted", "suspicious-labels", "features-collapsed",
                  "update-ratio-off", "regularisation-overwhelms", "dropout-off",
                  "saliency-insensitive", "loss-terms-off-scale", "classes-in-another-order"),
    ),
    Rule(
        id="suspicious-labels",
        title="Labels are wrong ({place} is {note})",
        plain="Labels are wrong",
        sights=(Sight("suspicious-labels", ("labelled",)),),
        explains=(*UNLEARNT, "overfitted"),
    ),
    Rule(
        id="validation-in-training",
        title="Validation examples stand in the training data too ({place}: {note})",
        plain="Validation examples stand in the training data too",
        sights=(
            Sight("overfitted", ("stand in training", "indices are training's",
                                 "is the training loader"), fact=True),
            Sight("suspicious-labels", ("the same as",), fact=True),
        ),
        explains=("overfitted", "suspicious-labels", "underfitted"),
    ),
    Rule(
        id="not-shuffled",
        title="Training data is not shuffled: it comes in the order of its targets",
        plain="Training data is not shuffled: it comes in the order of its targets",
        sights=(Sight("not-shuffled", fact=True),),
        explains=(*UNLEARNT, *SETTINGS, "overfitted", "update-ratio-off", "features-collapsed",
                  "batch-norm-misused", "stale-batch-norm", "suspicious-labels",
                  "activation-scale-off", "dead-units", "saturated-units", "weights-degenerate"),
    ),
    Rule(
        id="repeated-examples",
        title="The training data holds its examples several times ({note})",
        plain="The training data holds its examples several times",
        sights=(Sight("suspicious-labels", ("different examples in",)),),
        explains=("overfitted", "suspicious-labels", "trained-loss-off", "miscalibrated",
                  "sharp-minimum", "schedule-missing-or-off", "capacity-off",
                  "no-better-than-baseline"),
    ),
    Rule(
        id="loss-unfit-for-task",
        title="The loss does not fit what the model puts out ({note})",
        plain="The loss does not fit what the model puts out",
        sights=(
            Sight("loss-unfit-for-task", when=_not_only_summed, least=FAIL, fact=True),
            Sight("initial-loss-off-chance", ("other than log-probabilities",)),
            Sight("loss-unfit-for-task", ("gives up", "on classes", "is given outputs never")),
            Sight("loss-unfit-for-task", ("not finite for a sure and wrong answer",), _not_summed),
        ),
        explains=(*UNLEARNT, *SETTINGS, "initial-loss-off-chance", "vanishing-gradients",
                  "saturated-units", "update-ratio-off", "loss-terms-off-scale",
                  "features-collapsed", "disconnected-parameters", "activation-scale-off",
                  "updates-not-applied"),
        cures=(
            Cure(
                "Take the activation off the end of the model and give the loss its logits.",
                bare,
                ("Remove the", "Take the"),
            ),
        ),
        measured=("as it is, copy", "cured, copy", "by the cure"),
    ),
    Rule(
        id="loss-terms-off-scale",
        title="One term of the loss drowns another ({place})",
        plain="One term of the loss drowns another",
        sights=(Sight("loss-terms-off-scale", fact=True),),
        explains=(*UNLEARNT, *FLOW, "update-ratio-off", "regularisation-overwhelms",
                  "suspicious-labels", "features-collapsed"),
    ),
    Rule(
        id="loss-summed",
        title="The loss is summed over the batch, not averaged",
        plain="The loss is summed over the batch, not averaged",
        sights=(
            Sight("initial-loss-off-chance", ("summed:",)),
            Sight("loss-unfit-for-task", (SUMMED,)),
        ),
        explains=(*UNLEARNT, *SETTINGS, "exploding-gradients", "update-ratio-off",
                  "non-finite-values", "dead-units", "features-collapsed", "weights-degenerate",
                  "activation-scale-off", "saturated-units"),
        cures=(
            Cure("Average the loss over the batch (`reduction='mean'`).", averaged, ("Average",)),
        ),
    ),
    Rule(
        id="sees-the-future",
        title="The model sees what it is to predict, through `{place}`",
        plain="The model sees what it is to predict",
        sights=(Sight("sees-the-future", fact=True),),
        explains=("trained-loss-off", "not-reproducible", "miscalibrated", "capacity-off",
                  "overfitted"),
    ),
    Rule(
        id="examples-leak-across-batch",
        title="Examples of a batch reach one another in `{place}`",
        plain="Examples of a batch reach one another",
        sights=(Sight("examples-leak-across-batch", fact=True),),
        explains=("not-reproducible", *UNLEARNT, "wrong-gradients", "overfitted"),
    ),
)  # fmt: skip
