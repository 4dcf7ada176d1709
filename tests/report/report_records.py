"""A hand-made record that shows everything a report has to bear."""

import base64
import math
import struct
import zlib

from auditor.core.figure import (
    Bars,
    Guide,
    Heatmap,
    Histogram,
    Image,
    Images,
    Lines,
    Series,
    Table,
)
from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.layer import LayerFacts
from auditor.core.record import AuditRecord, Cause, PlanLine, Remedy, Section, Volatile
from auditor.core.subject import CheckpointFacts, SplitFacts, SubjectFacts, TargetFacts
from auditor.core.verdict import Verdict, worst

SCRIPT = "<script>document.title='hacked'</script>"
HOSTILE = (
    "<script>alert(1)</script>",
    "{{7*7}}",
    "{% include '/etc/passwd' %}",
    r"$\frac{1}{2}$",
    "\x1b[31mred\x1b[0m",
    "abc\u202edef",
    "nul\x00byte",
    "lone\ud800surrogate",
    "]]><!-- & \"quoted\" 'single' -->",
    "[red]markup[/red]",
    "![x](http://evil.example/a.png) | *bold* `tick` <b>",
    'x" onload="alert(2)',
    "m" * 1_000_000,
)


def png(size: int = 28, shift: int = 0) -> str:
    """Return a grey test picture as base64."""
    rows = b"".join(
        b"\x00" + bytes((x * 8 + y * 3 + shift * 40) % 256 for x in range(size))
        for y in range(size)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        code = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", code)

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


LAYERS = tuple(
    f"encoder.layers.{block}.{part}"
    for block in range(50)
    for part in ("attention.query", "attention.output.dense", "feed_forward.0", "norm")
)
DEAD = tuple(abs(math.sin(0.7 * i)) ** 9 * 0.6 for i in range(200))

LOSS = Lines(
    "Loss on one batch, step by step",
    "A model that can learn drives the loss of a single batch close to zero.",
    "step",
    "cross-entropy",
    (
        Series(
            "shuffled labels",
            tuple(map(float, range(60))),
            tuple(2.3 * math.exp(-i / 25) + 0.02 for i in range(60)),
        ),
        Series(
            "true labels",
            tuple(map(float, range(60))),
            tuple(2.3 * math.exp(-i / 9) + 0.01 for i in range(60)),
            tuple(2.3 * math.exp(-i / 9) * 0.8 for i in range(60)),
            tuple(2.3 * math.exp(-i / 9) * 1.25 + 0.02 for i in range(60)),
        ),
    ),
    (
        Guide(2.303, "loss of a uniform guess, ln 10", "reference"),
        Guide(0.05, "warns above 0.05", "warn"),
        Guide(0.2, "fails above 0.2", "fail"),
    ),
)
GRADIENTS = Lines(
    "Gradient norm by layer",
    "From input to output; a healthy network keeps within two decades.",
    "layer",
    "gradient 2-norm",
    (
        Series(
            "first batch",
            tuple(map(float, range(200))),
            tuple(
                0.0
                if i == 40
                else math.nan
                if i == 90
                else math.inf
                if i == 91
                else 10 ** (-6 + i / 40)
                for i in range(200)
            ),
        ),
        Series(
            "after 20 steps",
            tuple(map(float, range(200))),
            tuple(10 ** (-3 + math.sin(i / 9)) for i in range(200)),
        ),
    ),
    (Guide(1e-7, "vanishes below 1e-07", "fail"), Guide(1e3, "explodes above 1,000", "fail")),
    x_names=LAYERS,
    y_log=True,
)
DEAD_BARS = Bars(
    "Dead units by layer",
    "Share of units that never left zero on the batches seen.",
    "share of dead units",
    LAYERS,
    DEAD,
    marked=tuple(value > 0.2 for value in DEAD),
    guides=(Guide(0.05, "warns above 0.05", "warn"), Guide(0.2, "fails above 0.2", "fail")),
)
FEW_BARS = Bars(
    "Update to weight ratio",
    "The step of one update relative to the weights that it changes.",
    "update / weight",
    ("features.0", "features.3", "features.6.very_long_block_name.projection.weight", "head", "x"),
    (1.2e-3, 0.0, math.nan, 3.4e-2, math.inf),
    (1.0e-3, 0.0, math.nan, 2.9e-2, 1.0),
    (1.5e-3, 0.0, math.nan, 4.2e-2, math.inf),
    marked=(False, False, True, False, True),
    guides=(Guide(1e-3, "usual, about 0.001"), Guide(1e-1, "fails above 0.1", "fail")),
    log=True,
)
COUNTS = Histogram(
    "Weights of the first layer",
    "A single narrow hump around zero is usual.",
    "weight",
    tuple(-1 + i / 20 for i in range(41)),
    tuple(round(4000 * math.exp(-((i - 20) ** 2) / 40)) for i in range(40)),
    (
        Guide(0.0, "mean"),
        Guide(0.75, "three standard deviations"),
        Guide(-40.0, "far limit", "fail"),
    ),
)
LOG_COUNTS = Histogram(
    "Gradient magnitudes",
    "On a logarithmic axis, since they span decades.",
    "absolute gradient",
    tuple(10 ** (-8 + i / 4) for i in range(33)),
    tuple(math.nan if i == 3 else float(i * i) for i in range(32)),
    (Guide(1e-7, "rounding of float16", "warn"),),
    log=True,
)
CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CONFUSION = Heatmap(
    "Confusion of classes",
    "Rows are the truth, columns the prediction.",
    "predicted",
    "true",
    "share of the row",
    tuple(
        tuple(
            math.nan if i == j == 7 else 0.91 if i == j else 0.01 * ((i + 2 * j) % 4)
            for j in range(10)
        )
        for i in range(10)
    ),
    CLASSES,
    CLASSES,
)
SIGNED = Heatmap(
    "Correlation of units",
    "Blocks off the diagonal are units that do the same.",
    "unit",
    "unit",
    "correlation",
    tuple(
        tuple(math.cos((i - j) / 5) * math.exp(-abs(i - j) / 20) for j in range(64))
        for i in range(64)
    ),
)
PICTURES = Images(
    "Examples with the highest loss",
    "Wrong labels and broken pictures gather here.",
    (
        *(Image(f"true 3, said {i}, loss {9 - i}.2", png(shift=i)) for i in range(7)),
        Image("broken", "bm90IGEgcG5n"),
    ),
)
TABLE = Table(
    "Repeated examples",
    "Examples that stand in both splits.",
    ("example", "train index", "val index", "distance", "note"),
    tuple(
        (f"image-{i:04d}.png", i * 7, i, 0.0 if i % 3 else 1.3e-5, None if i % 2 else "same label")
        for i in range(40)
    ),
)


def failing() -> Finding:
    """Return a finding with everything a finding can have."""
    share = Limit(0.05, 0.2, "above", "Karpathy 2019; measured on 40 healthy networks")
    return Finding(
        "dead-units",
        Verdict.FAIL,
        "Many units never fire",
        "In `encoder.layers.7.norm` 58.6 % of the units stayed at zero on all 1,024 examples.",
        (
            Metric("worst dead share", 0.586, "share", 0.54, 0.63, share),
            Metric("dead share over all layers", 0.083, "share", 0.08, 0.091, share),
            Metric("smallest gradient norm", 1.3e-9, "", None, None, Limit(1e-5, 1e-7, "below")),
            Metric("examples seen", 1024.0),
        ),
        tuple(
            Place("layer", name, f"{share_:.1%} dead")
            for share_, name in sorted(zip(DEAD, LAYERS, strict=True), reverse=True)[:40]
        ),
        (
            "Lower the learning rate; set `lr=0.01` and train again.",
            "Try `LeakyReLU(0.01)` in place of `ReLU`, or He initialisation.",
            "Look at the bias of the layer before: a large negative one keeps every unit shut.",
        ),
        (DEAD_BARS, GRADIENTS),
        "A unit that is zero for every input gets no gradient and never comes back; "
        "the network is smaller than it looks.",
        "Lu et al., Dying ReLU and Initialization, 2019",
    )


def _sections() -> tuple[Section, ...]:
    limit = Limit(0.05, 0.2)
    start = (
        Finding(
            "batch-overfit",
            Verdict.PASS,
            "One batch can be learnt by heart",
            "The loss on one batch of 64 fell from 2.31 to 0.011 in 60 steps.",
            (Metric("final loss", 0.011, "", None, None, limit),),
            (),
            (),
            (LOSS,),
        ),
        Finding(
            "simple-baseline",
            Verdict.WARN,
            "A simple model is nearly as good",
            "Logistic regression reaches 92.1 %, the network 93.0 %; the difference may be chance.",
            (
                Metric(
                    "gain over baseline",
                    0.009,
                    "share",
                    -0.004,
                    0.022,
                    Limit(0.02, 0.0, "below", "paired bootstrap"),
                ),
                Metric("accuracy", 97.4, "%"),
            ),
            (),
            ("Ask whether the network is worth its cost.",),
            (FEW_BARS,),
            "A large network that only matches a linear model has learnt nothing of its own.",
        ),
        Finding(
            "input-scale",
            Verdict.INFO,
            "Inputs are centred",
            "Inputs have mean 0.02 and standard deviation 0.98.",
            (),
            (),
            (),
            (COUNTS,),
        ),
    )
    loss = (
        Finding(
            "initial-loss",
            Verdict.PASS,
            "The first loss is that of a uniform guess",
            "2.31 on fresh weights; a uniform guess costs 2.303.",
        ),
        Finding(
            "label-smoothing",
            Verdict.NOT_APPLICABLE,
            "Label smoothing fits the task",
            "The loss has no `label_smoothing`.",
        ),
        Finding(
            "gradient-check",
            Verdict.ERROR,
            "Gradients agree with finite differences",
            "The worker was killed after 600 s: out of memory at batch size 1.",
            advice=("Give it more memory or a smaller `batch_size`.",),
        ),
    )
    inside = (
        failing(),
        Finding(
            "exploding-activations",
            Verdict.FAIL,
            "Activations are not finite",
            "Three measures are not finite.",
            (
                Metric("largest activation", math.inf, "", None, None, Limit(1e3, 1e4)),
                Metric("mean activation", math.nan, "", None, None, Limit(1.0, 10.0)),
                Metric("smallest", -math.inf),
                Metric("not looked at", None),
            ),
            figures=(LOG_COUNTS, SIGNED),
        ),
        Finding(
            "redundant-units",
            Verdict.WARN,
            "Some units copy others",
            "12 of 64 units are near copies.",
            waived="Pruned on purpose, see `prune.md`.",
        ),
        Finding(
            "confusions",
            Verdict.INFO,
            "Which classes are confused",
            "Cats and dogs.",
            figures=(CONFUSION, PICTURES),
        ),
    )
    weights = (
        *(
            Finding(
                f"hostile-{i}",
                Verdict.WARN if i % 2 else Verdict.PASS,
                f"Title {name}",
                f"Summary {name}",
                (Metric(name, 0.1, name[:40], None, None, limit),),
                (Place("parameter", name, name),),
                (f"Do `{name}` now", name),
                (),
                name,
                name,
            )
            for i, name in enumerate(HOSTILE)
        ),
        Finding(
            "hostile-figures",
            Verdict.WARN,
            SCRIPT,
            SCRIPT,
            figures=(
                Bars(
                    SCRIPT,
                    HOSTILE[3],
                    HOSTILE[3],
                    HOSTILE,
                    tuple(map(float, range(len(HOSTILE)))),
                    guides=(Guide(3.0, HOSTILE[3], "fail"),),
                ),
                Lines(
                    HOSTILE[1],
                    SCRIPT,
                    HOSTILE[3],
                    SCRIPT,
                    tuple(
                        Series(name, (0.0, 1.0), (0.0, float(i))) for i, name in enumerate(HOSTILE)
                    ),
                    x_names=(SCRIPT, HOSTILE[5]),
                ),
                Table(SCRIPT, SCRIPT, HOSTILE[:4], ((SCRIPT, None, 1, 2.5),)),
                Images(SCRIPT, SCRIPT, (Image(SCRIPT, 'x" onerror="alert(3)'),)),
            ),
        ),
    )
    tracking = (
        Finding(
            "duplicates",
            Verdict.PASS,
            "No example stands in both splits",
            "None of 1,024.",
            figures=(TABLE,),
        ),
    )
    named = (
        ("start-simple", "Start simple", start),
        ("loss", "Confirm the loss", loss),
        ("internals", "Intermediate outputs and connections", inside),
        ("parameters", "Diagnose parameters", weights),
        ("tracking", "Track your work", tracking),
    )
    return tuple(
        Section(id_, title, worst(f.verdict for f in found if f.waived is None), found)
        for id_, title, found in named
    )


def layers() -> tuple[LayerFacts, ...]:
    """Return what was measured of the layers, those with hostile names at the end."""
    known = tuple(
        LayerFacts(
            name,
            "Linear",
            "N×16×512",
            parameters=262_656,
            activation=math.inf if place == 90 else 1 + math.sin(place / 9) ** 2,
            gradient=math.inf if place == 91 else 0.0 if place == 40 else 10 ** (-6 + place / 40),
            dead=DEAD[place],
            update=1e-3 * (1 + math.cos(place)) if place % 4 < 3 else None,
        )
        for place, name in enumerate(LAYERS)
    )
    hostile = [name for name in HOSTILE if "\ud800" not in name]  # which JSON can't give back
    return known + tuple(LayerFacts(name, name, name, activation=1.0) for name in hostile)


def subject(name: str = "digits-cnn") -> SubjectFacts:
    """Return facts of a subject with both splits."""
    targets = TargetFacts("classes", 1024, tuple(range(10)), (100, 104) * 5)
    split = SplitFacts(
        200, 16, 1024, 64, False, ("[64, 1, 28, 28] float32",), "[64] int64", targets, "9f3c" * 16
    )
    return SubjectFacts(
        name,
        "model:build",
        CheckpointFacts(
            "runs/2026-11-23/digits.pt",
            "torch state dict",
            "ab12cd34" * 8,
            4_812_345,
            22,
            "module.",
            (("epoch", "20"), (SCRIPT, SCRIPT)),
        ),
        1_199_882,
        1_199_882,
        "cpu",
        "multiclass",
        "cross_entropy",
        10,
        {"train": split, "val": split},
        frozenset({"model", "weights", "train", "val", "loss"}),
        {"optimizer": "the spec declares no optimizer"},
    )


def rich_record() -> AuditRecord:
    """Return a record with every verdict, every kind of figure and hostile text everywhere."""
    sections = _sections()
    plan = (
        PlanLine("val data, eval mode", ("UnitActivity", "Logits"), 16, 0),
        PlanLine("train data, train mode", ("GradientNorms",), 8, 8),
        PlanLine("batch overfit", ("OverfitOneBatch",), 60, 60),
    )
    return AuditRecord(
        1,
        worst(s.verdict for s in sections),
        sections,
        (
            Cause(
                "high-rate",
                "The learning rate is too high",
                "likely",
                ("dead-units", "exploding-activations", SCRIPT),
                (
                    Remedy("Lower `lr` tenfold.", True, 0.586, 0.021, "loss of copies", True),
                    Remedy("Warm up."),
                    Remedy("Clip.", measure=f"could not be tried: {SCRIPT}"),
                    Remedy("Pray.", True, 0.5, None, "accuracy of copies"),
                ),
            ),
        ),
        subject(),
        {
            "version": 1,
            "name": SCRIPT,
            "data": {"val": "data:val", "args": {}},
            "x": [1, 2.5, None],
        },
        {"python": "3.11.7", "torch": "2.10.0", "platform": "Linux x86_64"},
        plan,
        ("The last batch was smaller and was left out.", SCRIPT),
        None,
        Volatile(
            "2026-11-23T15:20:00+00:00",
            73.4,
            "host",
            12,
            {"val data, eval mode": 12.2, "train data, train mode": 31.0, "batch overfit": 4.4},
        ),
        layers=layers(),
    )
