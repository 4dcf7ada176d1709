"""Causes in the model: its backward pass, its initialisation, its units."""

from auditor.core.verdict import Verdict
from auditor.diagnosis.rule import Cure, Rule, Sight
from auditor.diagnosis.rules.effects import FLOW, SETTINGS, UNLEARNT, UNMOVED
from auditor.diagnosis.treatments import (
    always,
    anew,
)
from auditor.observations.treatment import TreatmentOver

FAIL = Verdict.FAIL

ANEW = "Initialise {names} anew (matrices by `kaiming_normal_`, biases at 0), and train on."

MODEL = (
    Rule(
        id="wrong-gradients",
        title="The backward pass of `{place}` is wrong",
        plain="The backward pass is wrong",
        sights=(Sight("wrong-gradients", least=FAIL, fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS),
    ),
    Rule(
        id="initialisation-off",
        title="Weights start at the wrong size ({note})",
        plain="Weights start at the wrong size",
        sights=(
            Sight("initial-loss-off-chance", ("initialisation", "last bias", "outputs of")),
        ),
        signs=(
            ("initial-loss-off-chance",),
            ("activation-scale-off", "saturated-units"),
        ),
        explains=(*UNLEARNT, *FLOW, *SETTINGS, *UNMOVED),
        cures=(
            Cure(
                "Leave the weights as PyTorch's layers draw them (`reset_parameters()`), or scale "
                "yours by fan-in: `nn.init.kaiming_normal_(layer.weight)`, "
                "`nn.init.zeros_(layer.bias)`.",
                always(TreatmentOver(reset=True)),
                ("Leave the weights", "Start the last bias"),
            ),
        ),
    ),
    Rule(
        id="dead-units",
        title="Units of `{place}` are dead",
        plain="Rectified units are dead",
        sights=(Sight("dead-units", least=FAIL, fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *SETTINGS, "vanishing-gradients", "activation-scale-off",
                  "disconnected-parameters", "saliency-insensitive", "initial-loss-off-chance"),
        cures=(Cure(ANEW, anew),),
    ),
    Rule(
        id="saturated-units",
        title="Units of `{place}` are saturated",
        plain="Units are saturated",
        sights=(Sight("saturated-units", least=FAIL),),
        explains=(*UNLEARNT, *UNMOVED, *SETTINGS, "vanishing-gradients", "activation-scale-off",
                  "disconnected-parameters"),
        equally=(
            "Put a normalisation before the activation, or use one that does not saturate "
            "(`torch.nn.ReLU()`, `torch.nn.GELU()`).",
        ),
    ),
    Rule(
        id="disconnected-parameters",
        title="No gradient reaches `{place}`",
        plain="No gradient reaches some parameters",
        sights=(Sight("disconnected-parameters", fact=True),),
        explains=(*UNLEARNT, *UNMOVED, "vanishing-gradients", "optimizer-off"),
    ),
    Rule(
        id="weights-degenerate",
        title="Weights of `{place}` are degenerate",
        plain="Weights are degenerate",
        sights=(Sight("weights-degenerate", least=FAIL),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS),
        cures=(Cure(ANEW, anew),),
    ),
    Rule(
        id="updates-not-applied",
        title="Training never moved `{place}`",
        plain="Training never moved some parameters",
        sights=(
            Sight("updates-not-applied", ("bit for bit", "not in the optimizer"), fact=True),
            Sight("updates-not-applied"),
        ),
        explains=(*UNLEARNT, *UNMOVED, "stale-batch-norm", "optimizer-off"),
    ),
    Rule(
        id="activation-scale-off",
        title="Activations have the wrong size from `{place}` on",
        plain="Activations have the wrong size",
        sights=(Sight("activation-scale-off", least=FAIL),),
        explains=(*UNLEARNT, *SETTINGS, "vanishing-gradients", "exploding-gradients",
                  "saturated-units", "features-collapsed"),
    ),
    Rule(
        id="vanishing-gradients",
        title="Gradients vanish before they reach `{place}`",
        plain="Gradients vanish",
        sights=(Sight("vanishing-gradients", least=FAIL),),
        explains=(*UNLEARNT, *UNMOVED, *SETTINGS),
        equally=(
            "Shortcuts around the deep part (`x + block(x)`), normalisation between its layers, or "
            "ReLU where there are sigmoids: each lets gradients through.",
        ),
    ),
)  # fmt: skip
