"""Causes in the settings of training, and in what came of it."""

from auditor.diagnosis.rule import Cure, Rule, Sight
from auditor.diagnosis.rules.effects import FLOW, SETTINGS, UNLEARNT, UNMOVED
from auditor.diagnosis.treatments import (
    always,
    clipped,
    held_back,
    larger_batches,
    not_narrow,
    optimizer_off,
    put_right,
    rate_above,
    rate_below,
    rate_down,
    rate_up,
    resumed,
    setting_off,
    too_fast,
    too_slow,
)
from auditor.observations.treatment import TreatmentOver

TRAINING = (
    Rule(
        id="gradients-not-zeroed",
        title="Gradients are not set back to zero between steps",
        plain="Gradients are not set back to zero between steps",
        sights=(Sight("optimizer-off", ("never zeroed",), fact=True),),
        explains=(*UNLEARNT, *UNMOVED, *FLOW, *SETTINGS, "non-finite-values", "overfitted",
                  "regularisation-overwhelms"),
        cures=(
            Cure(
                "Call `optimizer.zero_grad()` before each `loss.backward()`, and train anew.",
                always(TreatmentOver()),
                ("Call `optimizer.zero_grad()`",),
            ),
        ),
    ),
    Rule(
        id="dropout-before-batch-norm",
        title="Dropout before the batch norm `{place}`",
        plain="Dropout before a batch norm",
        sights=(Sight("dropout-before-batch-norm"),),
        explains=("stale-batch-norm", "batch-norm-misused", "trained-loss-off", "dropout-off",
                  "underfitted", "miscalibrated"),
        cures=(
            Cure(
                "Put the dropout behind the last batch norm, or leave it out.",
                always(TreatmentOver(no_dropout=True)),
            ),
        ),
        measured=(
            "score as it is",
            "score with statistics without dropout",
            "gain without the shift",
        ),
    ),
    Rule(
        id="stale-batch-norm",
        title="What `{place}` remembers does not describe the data",
        plain="Batch-norm statistics do not describe the data",
        sights=(Sight("stale-batch-norm"),),
        explains=(*UNLEARNT, "activation-scale-off", "not-reproducible", "dead-units",
                  "saturated-units", "batch-norm-misused", "overfitted"),
        cures=(
            Cure(
                "Compute the running statistics anew: training data through the model in training "
                "mode, without a step.",
                always(TreatmentOver(start="checkpoint", statistics=True, seeds=1)),
            ),
        ),
        measured=(
            "score as it is",
            "score with statistics computed anew",
            "gain by computing them anew",
        ),
    ),
    Rule(
        id="batch-norm-misused",
        title="Batch norm can't do its work in `{place}` ({note})",
        plain="Batch norm can't do its work",
        sights=(Sight("batch-norm-misused"),),
        explains=("stale-batch-norm", "trained-loss-off", "miscalibrated", "underfitted",
                  "vanishing-gradients", "does-not-learn-in-short-run"),
        measured=(
            "score on running statistics computed anew",
            "score on the statistics of batches",
            "gain on the statistics of batches",
        ),
    ),
    Rule(
        id="learning-rate-too-high",
        title="The learning rate is too high",
        plain="The learning rate is too high",
        sights=(
            Sight("learning-rate-off", ("too high", "too large", "diverge")),
            Sight("update-ratio-off", when=too_fast),
            Sight("does-not-learn-in-short-run", ("is too large",)),
            Sight("optimizer-off", when=rate_above),
            Sight("logged-loss-oscillates"),
            Sight("logged-loss-diverges"),
            Sight("logged-overfitting", ("astray",)),
        ),
        signs=(
            ("dead-units", "saturated-units", "activation-scale-off", "non-finite-values"),
            ("no-better-than-baseline", "trained-loss-off"),
        ),
        explains=(*UNLEARNT, *FLOW, "update-ratio-off", "learning-rate-off", "non-finite-values",
                  "weights-degenerate", "features-collapsed", "sharp-minimum", "clipping-off",
                  "optimizer-off", "stale-batch-norm", "batch-size-off",
                  "schedule-missing-or-off", "logged-loss-oscillates", "logged-rate-not-scheduled"),
        cures=(
            Cure("Lower the learning rate {rate}.", rate_down, ("Bring the learning rate", "Lower",
                                                                "Set `lr=")),
            Cure("Clip gradients at norm 1: `torch.nn.utils.clip_grad_norm_(model.parameters(), "
                 "1.0)` before `optimizer.step()`.", always(TreatmentOver(clip_norm=1.0))),
        ),
        equally=(
            "A warm-up over the first few hundred steps, where only the start is rough.",
        ),
    ),
    Rule(
        id="learning-rate-too-low",
        title="The learning rate is too low",
        plain="The learning rate is too low",
        sights=(
            Sight("learning-rate-off", ("too low", "too small")),
            Sight("update-ratio-off", when=too_slow),
            Sight("does-not-learn-in-short-run", ("is too small",)),
            Sight("optimizer-off", when=rate_below),
            Sight("underfitted", when=held_back),
        ),
        explains=(*UNLEARNT, *UNMOVED, "learning-rate-off", "optimizer-off",
                  "schedule-missing-or-off", "batch-size-off"),
        cures=(
            Cure("Raise the learning rate {rate}.", rate_up, ("Bring the learning rate", "Raise",
                                                              "Set `lr=")),
        ),
        equally=("A faster optimizer, such as Adam at 1e-3, or many more epochs.",),
    ),
    Rule(
        id="exploding-gradients",
        title="Gradients explode on their way to `{place}`",
        plain="Gradients explode",
        sights=(Sight("exploding-gradients"),),
        explains=(*UNLEARNT, *SETTINGS, "update-ratio-off", "non-finite-values",
                  "logged-loss-diverges", "logged-gradient-spikes"),
        cures=(
            Cure(
                "Clip gradients at norm 1: `torch.nn.utils.clip_grad_norm_(model.parameters(), "
                "1.0)` before `optimizer.step()`.",
                always(TreatmentOver(clip_norm=1.0)),
                ("Clip",),
            ),
        ),
    ),
    Rule(
        id="clipping-off",
        title="Gradient clipping is off ({note})",
        plain="Gradient clipping is off",
        sights=(Sight("clipping-off"),),
        explains=(*UNLEARNT, *UNMOVED, "exploding-gradients", "learning-rate-off",
                  "optimizer-off", "non-finite-values", "logged-loss-diverges",
                  "logged-gradient-spikes"),
        cures=(
            Cure(
                "Clip at the norm that nine in ten batches stay below.",
                clipped,
                ("Clip", "Set"),
            ),
        ),
    ),
    Rule(
        id="regularisation-overwhelms",
        title="Regularisation drowns the data ({place})",
        plain="Regularisation drowns the data",
        sights=(Sight("regularisation-overwhelms"),),
        explains=(*UNLEARNT, *UNMOVED, "vanishing-gradients", "learning-rate-off",
                  "optimizer-off", "dead-units", "activation-scale-off"),
        cures=(
            Cure(
                "Take weight decay off, then bring it back from 1e-5 up.",
                always(TreatmentOver(weight_decay=0.0)),
                ("Lower", "Take", "Set", "Reduce"),
            ),
        ),
    ),
    Rule(
        id="dropout-left-on",
        title="Dropout stays on in evaluation mode (`{place}`)",
        plain="Dropout stays on in evaluation mode",
        sights=(
            Sight("dropout-off", ("evaluation mode",), fact=True),
            Sight("not-reproducible", ("draws dropout", "dropout_p"), fact=True),
        ),
        explains=("not-reproducible", "trained-loss-off", "no-better-than-baseline",
                  "miscalibrated", "underfitted", "idle-block"),
    ),
    Rule(
        id="dropout-off",
        title="Dropout hurts more than it helps ({place})",
        plain="Dropout hurts more than it helps",
        sights=(Sight("dropout-off"),),
        # What the few units pass on is scaled up, and gradients with it: such noise kills units.
        explains=("underfitted", "does-not-learn-in-short-run", "cannot-overfit-one-batch",
                  "not-reproducible", "trained-loss-off", "no-better-than-baseline",
                  "learning-rate-off", "miscalibrated", "ignores-its-input", "dead-units",
                  "activation-scale-off", "features-collapsed"),
        cures=(
            Cure(
                "Take dropout out (`p=0`), then bring it back in small steps while validation "
                "improves.",
                always(TreatmentOver(no_dropout=True)),
                ("Lower", "Take", "Set", "Reduce", "Remove"),
            ),
        ),
    ),
    Rule(
        id="optimizer-off",
        title="The optimizer's settings are off ({note})",
        plain="The optimizer's settings are off",
        sights=(
            Sight("optimizer-off", when=setting_off, exact=True,
                  explains=(*FLOW, "clipping-off", "batch-size-off", "non-finite-values",
                            "stale-batch-norm", "sharp-minimum")),
            Sight("optimizer-off", when=optimizer_off),
        ),
        explains=(*UNLEARNT, *UNMOVED, "learning-rate-off", "schedule-missing-or-off"),
        cures=(Cure("Put the setting right, and train anew.", put_right, ("Set", "Put")),),
        measured=(", as declared", ", better racer", "gain of the better racer"),
    ),
    Rule(
        id="batch-size-off",
        title="The batch size is off ({note})",
        plain="The batch size is off",
        sights=(
            # What is measured on fresh weights comes of nothing that training did to them.
            Sight("batch-size-off", ("noise scale of fresh weights",), exact=True,
                  explains=(*UNLEARNT, *FLOW, *UNMOVED)),
            Sight("batch-size-off"),
        ),
        explains=("does-not-learn-in-short-run", "underfitted", "learning-rate-off",
                  "sharp-minimum", "batch-norm-misused"),
        cures=(
            Cure(
                "Take larger batches, or put the gradients of several together before a step.",
                larger_batches,
                ("Batches of",),
            ),
        ),
    ),
    Rule(
        id="schedule-missing-or-off",
        title="The learning-rate schedule is off ({note})",
        plain="The learning-rate schedule is off",
        sights=(
            Sight("schedule-missing-or-off"),
            Sight("learning-rate-off", ("without a schedule",)),
            Sight("logged-rate-not-scheduled"),
        ),
        explains=("underfitted", "trained-loss-off", "sharp-minimum", "no-better-than-baseline",
                  "updates-not-applied", "update-ratio-off", "logged-loss-oscillates"),
        cures=(
            Cure(
                "Step the schedule as it is laid out, and train on from here at the rate that "
                "training began with.",
                resumed,
            ),
        ),
    ),
    Rule(
        id="classes-missing",
        title="Training data lacks a class of validation data ({place})",
        plain="Training data lacks classes of validation data",
        sights=(Sight("class-imbalance", ("none in training",), fact=True),),
        explains=(*UNLEARNT, "overfitted", "suspicious-labels"),
    ),
    Rule(
        id="class-imbalance",
        title="Rare classes are given up (`{place}`)",
        plain="Rare classes are given up",
        # A class that is neglected though it is not rare shows what another cause has done.
        sights=(
            Sight("class-imbalance", ("too few to learn",), fact=True, exact=True),
            Sight("class-imbalance", ("a rare class",)),
        ),
        explains=("ignores-its-input", "no-better-than-baseline", "features-collapsed",
                  "miscalibrated", "trained-loss-off"),
    ),
    Rule(
        id="capacity-off",
        title="The model's size does not suit the data",
        plain="The model's size does not suit the data",
        sights=(Sight("capacity-off", when=not_narrow),),
        explains=("no-better-than-baseline", "cannot-overfit-one-batch", "trained-loss-off",
                  "underfitted", "overfitted"),
    ),
    Rule(
        id="overfitted",
        title="The model knows its training data by heart",
        plain="The model knows its training data by heart",
        sights=(
            Sight("overfitted", ("in validation",)),
            Sight("logged-overfitting", ("in validation",)),
        ),
        explains=("miscalibrated", "trained-loss-off", "sharp-minimum", "no-better-than-baseline",
                  "capacity-off", "features-collapsed"),
    ),
    Rule(
        id="validation-too-easy",
        title="Validation is easier than training ({note})",
        plain="Validation is easier than training",
        sights=(Sight("overfitted", ("easier than training",)),),
        explains=("underfitted",),
    ),
    Rule(
        id="stopped-too-early",
        title="Training stopped too early ({note})",
        plain="Training stopped too early",
        sights=(Sight("underfitted", ("training.epochs",)), Sight("stopped-too-early")),
        explains=("no-better-than-baseline", "trained-loss-off", "miscalibrated",
                  "saliency-insensitive"),
        cures=(
            Cure(
                "Train on: the loss still falls.",
                always(TreatmentOver(start="checkpoint")),
                ("Train on", "Train longer", "Go on"),
            ),
        ),
    ),
    Rule(
        id="underfitted",
        title="The model has learnt less than it could ({note})",
        plain="The model has learnt less than it could",
        sights=(Sight("underfitted"),),
        explains=("no-better-than-baseline", "trained-loss-off", "miscalibrated",
                  "saliency-insensitive"),
    ),
    Rule(
        id="sharp-minimum",
        title="The minimum is sharp",
        plain="The minimum is sharp",
        sights=(Sight("sharp-minimum"),),
        explains=(),
    ),
)  # fmt: skip
