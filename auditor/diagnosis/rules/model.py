"""Causes in the model: its backward pass, its initialisation, its units."""

from auditor.core.verdict import Verdict
from auditor.diagnosis.rule import Cure, Rule, Sight
from auditor.diagnosis.rules.effects import FLOW, SETTINGS, UNLEARNT, UNMOVED
from auditor.diagnosis.treatments import (
    always,
    anew,
    lifted,
)
from auditor.observations.mended_copies import MEASURED
from auditor.observations.treatment import TreatmentOver

FAIL = Verdict.FAIL

ANEW = "Initialise {names} anew (matrices by `kaiming_normal_`, biases at 0), and train on."

MODEL = (
    Rule(
        id="wrong-gradients",
        title="The backward pass of `{place}` is wrong",
        plain="The backward pass is wrong",
        # Weights may have ended as NaN through it, and it is seen on fresh ones then.
        sights=(Sight("wrong-gradients", least=FAIL, fact=True, exact=True,
                      explains=("non-finite-values",)),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS),
    ),
    Rule(
        id="bottleneck",
        title="Everything passes through too few numbers at `{place}` ({note})",
        plain="Everything passes through too few numbers",
        sights=(Sight("capacity-off", ("passes on", "takes in"), fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "saliency-insensitive"),
    ),
    Rule(
        id="linear-only",
        title="No activation stands between `{place}` and the next layer",
        plain="Activations between layers are missing",
        sights=(Sight("activation-off", ("no activation",), fact=True),),
        explains=(*UNLEARNT, *SETTINGS, "features-collapsed", "saliency-insensitive"),
        measured=MEASURED,
    ),
    Rule(
        id="activation-off",
        title="The activation `{place}` is one too many, or of the wrong kind ({note})",
        plain="Activations are too many, or of the wrong kind",
        sights=(Sight("activation-off", ("on top of", "a softmax"), fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "initial-loss-off-chance",
                  "saliency-insensitive"),
        measured=MEASURED,
    ),
    Rule(
        id="stale-spectral-norm",
        title="Computed weights of `{place}` do not fit its parameters ({note})",
        plain="Weights that layers compute do not fit their parameters",
        sights=(Sight("not-reproducible", ("until a pass in training mode",), fact=True),),
        explains=(*UNLEARNT, *FLOW, *SETTINGS, "update-ratio-off", "features-collapsed",
                  "initial-loss-off-chance", "inputs-not-normalised", "overfitted"),
    ),
    Rule(
        id="initialisation-off",
        title="Weights start at the wrong size ({note})",
        plain="Weights start at the wrong size",
        sights=(
            Sight("initialisation-off"),
            Sight("initial-loss-off-chance", ("initialisation", "last bias", "outputs of")),
        ),
        signs=(
            ("initial-loss-off-chance",),
            ("activation-scale-off", "saturated-units"),
        ),
        explains=(*UNLEARNT, *FLOW, *SETTINGS, *UNMOVED, "saliency-insensitive"),
        measured=MEASURED,
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
        sights=(Sight("dead-units", least=FAIL, fact=True),
                Sight("dead-units", ("units at zero",))),
        explains=(*UNLEARNT, *UNMOVED, *SETTINGS, "vanishing-gradients", "activation-scale-off",
                  "disconnected-parameters", "saliency-insensitive", "initial-loss-off-chance"),
        cures=(
            Cure(ANEW, anew),
            # Training on may mend the layers around dead units as well as the units themselves.
            Cure("Set {names} to zero in the trained model.", lifted, ("Start ",), fallback=True),
        ),
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
        id="damaged-layer",
        title="`{place}` does not fit the other layers: damaged, or loaded wrongly",
        plain="A layer does not fit the others",
        sights=(Sight("damaged-layer", ("trained anew", "another order"), least=FAIL, fact=True),
                Sight("damaged-layer", ("trained anew",))),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "stale-batch-norm", "sharp-minimum",
                  "saliency-insensitive", "suspicious-labels", "batch-norm-misused",
                  "regularisation-overwhelms"),
        measured=(" as it is", " trained anew", "gain by training it anew"),
    ),
    Rule(
        id="wrong-checkpoint",
        title="The checkpoint was trained for something else, or is damaged as a whole",
        plain="The checkpoint was trained for something else, or is damaged as a whole",
        sights=(Sight("damaged-layer", ("worse than a constant",)),),
        # A setting that the optimizer itself shows is no effect of the wrong weights, but may have
        # driven the right ones that far off.
        explains=(*UNLEARNT, *FLOW, "learning-rate-off", "clipping-off", "batch-size-off",
                  "schedule-missing-or-off", "sharp-minimum", "stale-batch-norm",
                  "suspicious-labels", "saliency-insensitive", "update-ratio-off"),
        measured=(" as it is", " of a new model", "gain by a new model"),
    ),
    Rule(
        id="too-deep",
        title="Too many layers in a row, without shortcuts: at `{place}` the gradient is {note}",
        plain="Too many layers in a row, without shortcuts",
        sights=(Sight("vanishing-gradients", ("times below the last, over",), exact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "saliency-insensitive"),
        cures=(
            Cure(
                "Put a shortcut around every layer or two (`x + block(x)`), or take layers out.",
                always(TreatmentOver(shortcuts=True)),
                ("Put a shortcut",),
            ),
        ),
        equally=(
            "Normalisation between the layers, or weights that keep the size of what goes through "
            "(`nn.init.kaiming_normal_` before ReLU), lets gradients through too.",
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
        sights=(
            # Single values beyond all others are damage: no rate takes one weight there alone.
            Sight("weights-degenerate", ("times the largest of the rest",), least=FAIL,
                  fact=True, exact=True, explains=("non-finite-values", "stale-batch-norm")),
            Sight("weights-degenerate", least=FAIL),
        ),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS),
        cures=(Cure(ANEW, anew),),
    ),
    Rule(
        id="updates-not-applied",
        title="Training never moved `{place}`",
        plain="Training never moved some parameters",
        sights=(
            Sight("updates-not-applied", ("the optimizer goes farther",), fact=True, exact=True),
            Sight("updates-not-applied", ("bit for bit", "as built", "not in the optimizer"),
                  fact=True),
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
