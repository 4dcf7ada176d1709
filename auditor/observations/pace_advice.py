"""What to do about learning rates and single weights whose updates are off."""

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.pace import Pace, WeightPace
from auditor.observations.pace_verdicts import TARGET, Judged


def rate_for(pace: Pace, weight: WeightPace) -> float | None:
    """Return the learning rate that would bring a tensor to 1e-3, were its step proportional."""
    fresh = pace.seen.start == "fresh"
    ratio = max(weight.ratio.value, weight.opening) if fresh else weight.ratio.value
    return pace.seen.learning_rate * TARGET / ratio if ratio > 0 else None


def advice_on_pace(top: Judged, both: list[Judged], still: list[str]) -> tuple[str, ...]:
    """Return what to do: about all weights, about one that is off, about those that stand still."""
    lines = []
    pace = top.pace
    if pace.ratio.value == 0:
        lines.append(
            "Make sure that `optimizer.step()` sees the model's own parameters, that they require "
            "gradients, and that these are neither zero nor too small for the weights' precision."
        )
    elif top.whole is not Verdict.PASS:
        fresh = pace.seen.start == "fresh"
        ratio = max(pace.ratio.value, pace.opening) if fresh else pace.ratio.value
        aim = pace.seen.learning_rate * TARGET / ratio
        side = "down" if ratio > TARGET else "up"
        warm = ", or a warm-up where only the start is rough" if side == "down" else ""
        lines.append(
            step(
                f"Bring the learning rate of {clean_text(pace.seen.optimizer)} {side} from "
                f"`{pace.seen.learning_rate:g}` to about `{aim:.2g}`, which moves the median "
                f"weight by 1e-3 a step; try `{aim / 3:.2g}` and `{aim * 3:.2g}` as well{warm}.",
                snippets.rebuilt(pace.seen.optimizer, aim),
            )
        )
    single = [one for one in both if one.off and one.whole is Verdict.PASS]
    if single:
        weight = single[0].off[0]
        slower = weight.apart < 0 or weight.opens_apart < 0
        size = "large" if slower else "small"
        rate = rate_for(single[0].pace, weight)
        owner = weight.name.rpartition(".")[0]
        lines.append(
            step(
                f"Look at how `{weight.name}` is initialised: its values are too {size} for its "
                "gradient. torch's own initialisation is a start, where its layer has one.",
                f"{snippets.layer(owner)}.reset_parameters()" if owner else "",
            )
        )
        if rate is not None:
            kind, settings = snippets.read(single[0].pace.seen.optimizer)
            lines.append(
                step(
                    "If its size is right, give it a learning rate of its own, at which a step "
                    f"moves `{weight.name}` by about 1e-3:",
                    snippets.own_rate(weight.name, rate, kind, settings),
                )
            )
    if still:
        lines.append(
            step(
                f"Make sure that `{still[0]}` is among the optimiser's parameters and used in "
                "`forward`, or freeze it. If it is, its gradient is zero (a dead layer, "
                "`detach()`), or its steps underflow: too small for its precision.",
                snippets.frozen(still),
            )
        )
    return tuple(lines)
