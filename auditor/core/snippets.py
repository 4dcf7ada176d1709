"""Code to paste that mends, as several checks have it in common: what it does, to which layer.

What a reader has is taken for granted by these names: `model`, `optimizer`, `loss_fn`,
`train_loader` and `val_loader`, whose batches are pairs of inputs and targets. Each snippet is run
on models by `tests/checks/test_code_to_paste.py`.
"""

import ast
import re
from collections.abc import Mapping, Sequence

from auditor.core.advice import LONGEST_LINE, quoted

_PLAIN = re.compile(r"[A-Za-z_]\w*")

_MODULES: Mapping[str, str] = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
}
"""The modules of losses that are known by the names of their functions."""


def digits(value: float, most: int = 2) -> str:
    """Return a number to `most` significant digits as Python and YAML read it: "240", "1e-05"."""
    return f"{float(f'{value:.{most}g}'):g}"


def tensor(values: Sequence[float], most: int = 3) -> str:
    """Return what makes a tensor of numbers."""
    return f"torch.tensor([{', '.join(f'{float(digits(value, most))}' for value in values)}])"


def layer(name: str) -> str:
    """Return what finds a layer by its name."""
    return f"model.get_submodule({quoted(name)})"


def parameter(name: str) -> str:
    """Return what finds a parameter by its name."""
    return f"model.get_parameter({quoted(name)})"


def replaced(name: str, new: str) -> str:
    """Return code that puts another module in the place of one."""
    return f"model.set_submodule({quoted(name)}, {new})"


def frozen(names: Sequence[str], most: int = 8) -> str:
    """Return code that takes parameters out of training."""
    if len(names) == 1:
        return f"{parameter(names[0])}.requires_grad_(False)"
    listed = _list(names[:most])
    return f"for name in {listed}:\n    model.get_parameter(name).requires_grad_(False)"


def optimizer(name: str, settings: Mapping[str, object], parameters: str = "") -> str:
    """Return code that builds an optimizer of `torch.optim`; empty where its name is none."""
    if not _PLAIN.fullmatch(name) or not all(map(_PLAIN.fullmatch, settings)):
        return ""
    words = [parameters or "model.parameters()", *(f"{k}={v!r}" for k, v in settings.items())]
    return f"optimizer = torch.optim.{name}({', '.join(words)})"


def read(text: str) -> tuple[str, dict[str, object]]:
    """Return the kind and the settings of an optimizer told as "SGD(lr=0.1, momentum=0.9)"; no
    kind where it is told in another way.
    """
    kind, _, inside = text.partition("(")
    try:
        call = ast.parse(f"{kind}({inside.removesuffix(')')})", mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            return kind, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError):
        pass
    return "", {}


def rebuilt(text: str, rate: float) -> str:
    """Return code that builds an optimizer, told in words, with another learning rate."""
    kind, settings = read(text)
    return optimizer(kind, {**settings, "lr": float(digits(rate))}) or rate_set(rate)


def averaged(loss: str) -> str:
    """Return code for a loss, by the name of its function, that averages over the batch."""
    module = _MODULES.get(loss)
    return f'loss_fn = torch.nn.{module}(reduction="mean")' if module else ""


def rate_set(rate: float) -> str:
    """Return code that gives an optimizer another learning rate."""
    return f'for group in optimizer.param_groups:\n    group["lr"] = {digits(rate)}'


def clipped(norm: str) -> str:
    """Return a step of training with the gradient's norm clipped."""
    return (
        "loss.backward()\n"
        f"norm = torch.nn.utils.clip_grad_norm_(model.parameters(), {norm})\n"
        "optimizer.step()"
    )


def cosine(steps: float, least: float, *, epochs: bool = True) -> str:
    """Return code that lets a rate fall to `least` along a cosine."""
    whole = f"{max(1, round(steps))}"
    built = (
        "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR("
        f"optimizer, T_max={whole}, eta_min={digits(least)})"
    )
    return f"{built}\nscheduler.step()  # after each {'epoch' if epochs else 'optimizer.step()'}"


ZEROED = """\
optimizer.zero_grad()
loss = loss_fn(model(inputs), targets)
loss.backward()
optimizer.step()"""
"""A step of training that forgets the gradients of the one before."""

STATISTICS_ANEW = """\
torch.optim.swa_utils.update_bn(train_loader, model)
model.eval()
torch.save(model.state_dict(), "mended.pt")"""
"""Computes the running statistics of every batch norm anew, as training mode sees the data."""

STATISTICS_WITHOUT_DROPOUT = """\
model.eval()
norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
momenta = [norm.momentum for norm in norms]
for norm in norms:
    norm.reset_running_stats()
    norm.momentum = None  # a plain average
    norm.train()
with torch.no_grad():
    for inputs, _ in train_loader:
        model(inputs)
for norm, momentum in zip(norms, momenta):
    norm.momentum = momentum"""
"""The same with everything but batch norm in evaluation mode. Leave with `model.eval()`."""

GROUP_NORM = """\
import math

for name, module in list(model.named_modules()):
    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
        channels = module.num_features
        groups = math.gcd(32, channels)
        model.set_submodule(name, torch.nn.GroupNorm(groups, channels))"""
"""Puts group norm in the place of every batch norm."""


def momentum(share: float) -> str:
    """Return code that sets the momentum of every batch norm."""
    return (
        "for module in model.modules():\n"
        "    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):\n"
        f"        module.momentum = {share:g}"
    )


ALL_INITIALISED = """\
for layer in model.modules():
    if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)"""
"""Draws all weights anew, scaled by fan-in."""


def initialised(name: str, how: str = "kaiming_normal_", arguments: str = "") -> str:
    """Return code that draws the weight of a layer anew and sets its bias to zero."""
    more = f", {arguments}" if arguments else ""
    return (
        f"layer = {layer(name)}\n"
        f"torch.nn.init.{how}(layer.weight{more})\n"
        "if layer.bias is not None:\n"
        "    torch.nn.init.zeros_(layer.bias)"
    )


_ALONE = """\
for p in model.parameters():
    p.requires_grad_(False)
layer.reset_parameters()
for p in layer.parameters():
    p.requires_grad_(True)
optimizer = torch.optim.Adam(layer.parameters(), lr=0.001)"""


def trained_alone(name: str) -> str:
    """Return code that makes one layer fresh, and the only one to be trained."""
    return f"layer = {layer(name)}\n{_ALONE}"


def scaled(name: str, factor: float) -> str:
    """Return code that divides the weights of a layer."""
    return f"with torch.no_grad():\n    {layer(name)}.weight.div_({digits(factor)})"


def own_rate(name: str, rate: float, kind: str, settings: Mapping[str, object]) -> str:
    """Return code that gives one parameter a learning rate of its own."""
    built = optimizer(kind, settings, "groups")
    if not built:
        return ""
    return (
        f"own = {parameter(name)}\n"
        "rest = [p for p in model.parameters() if p is not own]\n"
        f'groups = [{{"params": rest}}, {{"params": [own], "lr": {digits(rate)}}}]\n'
        f"{built}"
    )


def decayed(decay: float, kind: str = "", settings: Mapping[str, object] | None = None) -> str:
    """Return code that decays weights and leaves out biases and normalisation.

    Without a kind of optimizer it ends with the groups.
    """
    own = {key: value for key, value in (settings or {}).items() if key != "weight_decay"}
    built = optimizer(kind, own, "groups") if own else ""
    code = (
        "weights = [p for p in model.parameters() if p.ndim > 1]\n"
        "rest = [p for p in model.parameters() if p.ndim <= 1]\n"
        "groups = [\n"
        f'    {{"params": weights, "weight_decay": {digits(decay)}}},\n'
        '    {"params": rest, "weight_decay": 0.0},\n'
        f"]\n{built}"
    )
    return code.rstrip()


def _list(names: Sequence[str]) -> str:
    """Return a list of names as code, on a line each where one line can't hold them."""
    shown = ", ".join(map(quoted, names))
    if len(shown) < LONGEST_LINE - 40:
        return f"[{shown}]"
    return "[\n    " + ",\n    ".join(map(quoted, names)) + ",\n]"
