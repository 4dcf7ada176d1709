"""What single answers hang on: saliency, integrated gradients, Grad-CAM, in pictures (for a look).

What it does
------------
Explains single answers: which pixels, tokens or features they hang on. For a few validation
examples, right and wrong ones, it shows the saliency map, the integrated gradients and, of a
network that ends in convolutions, Grad-CAM; of tokens and features it lists those that count most.
Beside each stands the same map of the model with its weights shuffled.

Why it matters
--------------
A model may be right for a wrong reason, such as the border of a scan, a watermark or an identity
number among the features: that shows in no score, and here at a glance. A map that looks the same
with shuffled weights shows the input and the architecture, not what was learnt.

How it is measured
------------------
What is explained is one number of the output: the score of the predicted class; of a language
model that at the last place; of a segmentation the sum over the pixels predicted as the most
frequent class but one; of labels the likeliest; of several numbers the one that varies most.
*Saliency* is the magnitude of its gradient by the input, the largest of a pixel's colours.
*Integrated gradients* are (x - x') times the mean gradient along the straight way from a baseline
x' to the input x: zero, of a table the mean example. They have to add up to f(x) - f(x'): 16, 64,
then 256 steps are taken until every example's sum is within 5 % of it, and what is missing is
shown. *Grad-CAM* weighs the channels of the last convolution by their mean gradients and keeps
what is positive. Tokens are attributed to by the vectors that the embedding makes of them. Half of
the examples shown are wrong answers that the model was surest of, where there are any. Features
carry 95 % intervals by bootstrap over examples. The control shuffles the values within each
parameter; batch norm takes its statistics anew. Up to 128 examples are read, of a costly model
fewer.

When it misleads
----------------
A map tells what the answer would change with, not what is right or a cause. Saliency of a
saturated model is noise. Integrated gradients hang on their baseline, and what equals it gets
nothing; they have the input itself as a factor, so that they correlate with it whatever the
weights. Grad-CAM is as coarse as its layer. Features that go together share their part in an
arbitrary way.

What to do
----------
Look at the wrong answers first. Where the marked places are not what decides for you, look at more
examples of that kind, take the place out of the input (crop, mask, drop the column) and see
whether the model still knows.

Source
------
Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks". Sundararajan, Taly, Yan
2017, "Axiomatic Attribution for Deep Networks". Selvaraju et al. 2017, "Grad-CAM". Adebayo et al.
2018, "Sanity Checks for Saliency Maps".
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Cell, Figure, Heatmap, Image, Images, Table
from auditor.core.finding import Judgement, Metric
from auditor.core.foremost import foremost, how_many
from auditor.core.png import colour, diverging, grey
from auditor.core.samples import LEFT_OUT
from auditor.core.statistics import paired_bootstrap
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.attributions import Attributed, Attributions, AttributionsOver

ATTRIBUTIONS = AttributionsOver()

CLOSE = 0.05
"""Share by which integrated gradients may miss what they have to add up to."""
TOP_TOKENS = 5
SHORT = 44
"""Characters of what was explained, where room is short."""


@check(
    title="What the answers hang on, in pictures",
    failure_title="What the answers hang on could not be pictured",
    needs=(ATTRIBUTIONS,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Show what single answers hang on; there is nothing to judge."""
    told = seen[ATTRIBUTIONS]
    shown = told.pictured
    wrong = sum(one.right is False for one in shown)
    idle = sum(not np.any(one.saliency) for one in shown)
    gap = max(one.gap for one in shown)
    whole = gap <= CLOSE
    known = "" if all(one.right is None for one in shown) else f", {wrong} of them answered badly"
    explained = "example is" if len(shown) == 1 else "examples are"
    text = f"{len(shown)} validation {explained} explained{known}. " + (
        f"The integrated gradients add up to within {gap:.2g} of what they have to account for, "
        f"after {told.steps} steps."
        if whole
        else f"The integrated gradients of at least one example miss {gap:.0%} of what they have "
        f"to account for even after {told.steps} steps: read them as rough."
    )
    if idle:
        text += (
            f" Of {idle} of them every gradient is zero: the answer does not hang on the input, "
            "and nothing can be shown."
        )
    metrics = [Metric("integrated gradients miss, at most", gap, "share")]
    if told.why_unchanged:
        text += f" There is no control beside them: {told.why_unchanged}."
    for change in told.changes[:1]:
        value, low, high = change.interval()
        if value == value:
            text += f" With shuffled weights the saliency maps correlate {value:.2f} with these."
            metrics.append(
                Metric("rank correlation of saliency with shuffled weights", value, "", low, high)
            )
    figures: list[Figure] = []
    match told.kind if any(map(_shows, shown)) else "":
        case "picture":
            figures.append(_gallery(told))
        case "tokens":
            figures += [*_token_maps(told), _tokens(told)]
        case "features":
            figures += _features(told, seen.rng)
    return Judgement(
        Verdict.INFO, text, metrics=tuple(metrics), figures=(*figures, _explained(told))
    )


def _shows(one: Attributed) -> bool:
    """Tell whether there is anything to see in an example's maps."""
    return bool(np.any(one.saliency) or np.any(one.integrated))


def _correlation(told: Attributions, method: str, place: int) -> str:
    """Return ", ρ = 0.04" of a pictured example, empty where it is not known."""
    if method == "integrated":
        values: Array = told.integrated_change
    else:
        found = [change for change in told.changes if change.method == method]
        values = found[0].trained[0] if found else np.zeros(0)
    known = place < len(values) and np.isfinite(values[place])
    return f", ρ = {values[place]:.2f}" if known else ""


def _gallery(told: Attributions) -> Images:
    images = []
    for place, one in enumerate(told.pictured):
        if not _shows(one):
            continue
        verdict = {True: ", right", False: f", is {clean_text(one.truth, 30)}", None: ""}[one.right]
        side = max(map(len, (one.shown, one.saliency, one.integrated, one.cam)))
        rows = (
            ("saliency", one.saliency, one.shuffled_saliency, "saliency"),
            ("integrated gradients", one.integrated, one.shuffled_integrated, "integrated"),
            ("Grad-CAM", one.cam, one.shuffled_cam, "Grad-CAM"),
        )
        said = f"example {one.example}: {clean_text(one.explained, SHORT)}{verdict}"
        if one.shown.size:
            images.append(Image(said, picture(one.shown)))
        for row, (method, own, after, short) in enumerate(rows):
            # Without the input, the first map says which example it is of.
            name = method if one.shown.size or row else f"{said}; {method}"
            if not own.size:
                if told.cam_layer:
                    images.append(Image(f"{name}: none", grey(np.zeros((1, 1)))))
                continue
            below = f" (below: shuffled weights{_correlation(told, short, place)})"
            both = _stacked(own, after, side)
            drawn = (
                diverging(both, limit=1.0)
                if short == "integrated"
                else grey(np.nan_to_num(both, nan=1.0))
            )
            images.append(Image(name + (below if after.size else ""), drawn))
    cam = f" Grad-CAM is that of `{clean_text(told.cam_layer)}`." if told.cam_layer else ""
    return Images(
        title="What the answers hang on",
        caption="Bright, or of integrated gradients red (for the answer) and blue (against it), is "
        "what counts; each map is set beside itself with shuffled weights, which is to look "
        f"different.{cam}{_left_out(told)}",
        images=tuple(images),
        columns=2 + bool(told.cam_layer) + bool(told.pictured[0].shown.size),
    )


def _left_out(told: Attributions) -> str:
    return "" if told.pictured[0].shown.size else f" {LEFT_OUT}"


def picture(shown: Array) -> str:
    """Return an input, grey or in colours from 0 to 1, as a picture."""
    return colour(shown) if shown.ndim == 3 else grey(shown)


def _stacked(own: Array, after: Array, side: int) -> Array:
    """Return one map above the other, coarse ones enlarged, with a line of NaN between."""
    times = max(1, side // own.shape[0])
    parts = [np.repeat(np.repeat(m, times, 0), times, 1) for m in (own, after) if m.size]
    if len(parts) < 2:
        return np.asarray(parts[0], float)
    line = np.full((max(1, len(parts[0]) // 24), parts[0].shape[1]), np.nan)
    return np.asarray(np.concatenate([parts[0], line, parts[1]]), float)


def _name(one: Attributed) -> str:
    mark = {True: "", False: f" (is {clean_text(one.truth, 24)})", None: ""}[one.right]
    return f"{one.example}: {clean_text(one.explained, 30)}{mark}"


def _token_maps(told: Attributions) -> list[Figure]:
    figures: list[Figure] = []
    sides = (
        ("Integrated gradients by token", [one.integrated for one in told.pictured]),
        (
            "The same with shuffled weights",
            [one.shuffled_integrated for one in told.pictured],
        ),
    )
    for title, maps in sides:
        if not all(one.size for one in maps):
            continue
        peaks = [float(np.abs(one).max(initial=0.0)) or 1.0 for one in maps]
        figures.append(
            Heatmap(
                title=title,
                caption="Which tokens speak for (above 0) or against (below 0) the answer, each "
                "example relative to its largest."
                if not figures
                else "The control: what the embedding's size and the architecture alone make; it "
                "is to look different.",
                x_label="position of the token",
                y_label="example: what is explained",
                label="attribution",
                values=tuple(
                    tuple(round(float(v), 2) for v in one / peak)
                    for one, peak in zip(maps, peaks, strict=True)
                ),
                y_names=tuple(_name(one) for one in told.pictured),
            )
        )
    return figures


def _tokens(told: Attributions) -> Table:
    rows: list[tuple[Cell, ...]] = []
    with_tokens = all(one.shown.size for one in told.pictured)
    for one in told.pictured:
        count = min(len(one.shown) or len(one.integrated), len(one.integrated))
        for at in np.argsort(-np.abs(one.integrated[:count]), kind="stable")[:TOP_TOKENS]:
            after = one.shuffled_integrated
            rows.append(
                (
                    _name(one),
                    int(at),
                    *((int(one.shown[at]),) if with_tokens else ()),
                    float(one.integrated[at]),
                    float(one.saliency[at]),
                    float(after[at]) if at < len(after) else None,
                )
            )
    return Table(
        title="Tokens that count most",
        caption="Of each example the tokens of the largest integrated gradients, in units of the "
        "score"
        + (
            "; no tokenizer is known, so they stand by their numbers."
            if with_tokens
            else f". {LEFT_OUT}"
        ),
        columns=(
            "example",
            "position",
            *(("token",) if with_tokens else ()),
            "integrated",
            "saliency",
            "shuffled weights",
        ),
        rows=tuple(rows),
    )


def _features(told: Attributions, rng: np.random.Generator) -> list[Figure]:
    table = np.abs(told.features)
    if not table.size:
        return []
    means = table.mean(axis=0)
    spans = [paired_bootstrap(column, np.zeros_like(column), rng) for column in table.T]
    names = [f"feature {number}" for number in told.feature_numbers.tolist()]
    shown = foremost(means)
    finite = all(np.isfinite(span).all() for span in spans)
    after = told.shuffled_features
    bars = Bars(
        title="Features that the answers hang on",
        caption="Mean magnitude of the integrated gradients, in units of the score, with 95 % "
        f"intervals over {len(table)} examples; a long bar is what decides."
        + how_many(len(shown), len(means), "features").replace("worst", "largest"),
        label="mean |integrated gradient|",
        labels=tuple(names[at] for at in shown),
        values=tuple(float(means[at]) for at in shown),
        low=tuple(float(min(spans[at][0], means[at])) for at in shown) if finite else (),
        high=tuple(float(max(spans[at][1], means[at])) for at in shown) if finite else (),
    )
    rows = tuple(
        (
            name,
            float(means[at]),
            *((float(spans[at][0]), float(spans[at][1])) if finite else (None, None)),
            float(after[at]) if at < len(after) else None,
        )
        for at, name in enumerate(names)
    )
    return [
        bars,
        Table(
            title="Features beside the control",
            caption="The same numbers, and those of the model with shuffled weights, whose order "
            "is to be another.",
            columns=("feature", "mean", "low", "high", "shuffled weights"),
            rows=rows,
        ),
    ]


def _explained(told: Attributions) -> Table:
    rows = []
    for place, one in enumerate(told.pictured):
        after = _correlation(told, "saliency", place).removeprefix(", ρ = ")
        rows.append(
            (
                one.example,
                clean_text(one.explained, SHORT),
                clean_text(one.truth, 30) or None,
                one.score,
                one.total,
                one.attributed,
                one.gap,
                float(after) if after else None,
            )
        )
    return Table(
        title="What was explained",
        caption="The score explained, how far it lies above that of the baseline "
        f"({told.baseline}), what the integrated gradients add up to, the share they miss, and the "
        "rank correlation of saliency with shuffled weights. Examples are numbered as the loader "
        "yields them, from 0.",
        columns=("example", "answer", "target", "score", "above base", "sum", "missed", "ρ"),
        rows=tuple(rows),
    )
