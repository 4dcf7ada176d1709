"""Code to paste that finds out more: what a batch holds, which layer or example is at fault.

It takes the same names for granted as `snippets`, whose code mends.
"""

BATCH_CHECKED = """\
inputs, targets = next(iter(train_loader))
print(inputs.shape, inputs.dtype, inputs.float().mean(), inputs.float().std())
print(targets.shape, targets.dtype, targets[:8])
print((inputs[0] != inputs[1]).float().mean())  # share of values in which two examples differ"""
"""Shows a batch as the model gets it."""


def examples_shown(loader: str) -> str:
    """Return code that shows inputs and targets of a loader side by side."""
    return (
        f"inputs, targets = next(iter({loader}))\n"
        "for one, target in zip(inputs[:20], targets[:20]):\n"
        "    print(target, one.flatten()[:8])"
    )


NOT_FINITE = """\
for number, (inputs, targets) in enumerate(train_loader):
    if not torch.isfinite(inputs).all() or not torch.isfinite(targets).all():
        print(number)"""
"""Names the batches with inputs or targets that are not finite."""


def modules_not_finite(loader: str = "val_loader") -> str:
    """Return code that names the modules that put out what is not finite."""
    return (
        "def told(name):\n"
        "    def hook(module, given, made):\n"
        "        if torch.is_tensor(made) and not torch.isfinite(made).all():\n"
        "            print(name)\n"
        "    return hook\n\n"
        "for name, module in model.named_modules():\n"
        "    module.register_forward_hook(told(name))\n"
        f"for inputs, _ in {loader}:\n"
        "    model(inputs)"
    )


def anomaly(batch: int, loader: str = "train_loader") -> str:
    """Return code that runs one batch so that autograd names what makes NaN."""
    return (
        "import itertools\n\n"
        f"inputs, targets = next(itertools.islice({loader}, {batch}, None))\n"
        "with torch.autograd.detect_anomaly():\n"
        "    loss_fn(model(inputs), targets).backward()"
    )


def gradients_listed() -> str:
    """Return code that names the parameters that a batch gives no gradient."""
    return (
        "inputs, targets = next(iter(train_loader))\n"
        "loss_fn(model(inputs), targets).backward()\n"
        "for name, p in model.named_parameters():\n"
        "    if p.grad is None or not p.grad.any():\n"
        "        print(name)"
    )


def alike_behind(loader: str = "val_loader") -> str:
    """Return code that names the layers behind which two different inputs are equal."""
    return (
        f"inputs, _ = next(iter({loader}))\n\n"
        "def told(name):\n"
        "    def hook(module, given, made):\n"
        "        if torch.is_tensor(made) and torch.allclose(made[0], made[1]):\n"
        "            print(name)\n"
        "    return hook\n\n"
        "for name, module in model.eval().named_modules():\n"
        "    module.register_forward_hook(told(name))\n"
        "model(inputs[:2])  # the first name is where they become equal"
    )


def outputs_compared(loader: str = "val_loader") -> str:
    """Return code that names the modules whose output for one example hangs on another."""
    return (
        f"inputs, _ = next(iter({loader}))\n"
        "changed = inputs.clone()\n"
        "changed[1] = inputs[2]\n"
        "seen = []\n"
        "for name, module in model.eval().named_modules():\n"
        "    module.register_forward_hook(lambda m, i, o, n=name: seen.append((n, o)))\n"
        "model(inputs), model(changed)\n"
        "half = len(seen) // 2\n"
        "for (name, one), (_, other) in zip(seen[:half], seen[half:]):\n"
        "    if torch.is_tensor(one) and not torch.allclose(one[0], other[0]):\n"
        "        print(name)"
    )


ONE_BATCH = """\
inputs, targets = (part[:8] for part in next(iter(train_loader)))
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for _ in range(500):
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.step()
print(loss.item())  # near zero, if anything can be learnt"""
"""Overfits a batch."""


STRICT = """\
from auditor.intake.checkpoint import open_checkpoint

state = open_checkpoint(path).weights
print(model.load_state_dict(state, strict=False))  # no key may be missing or unexpected"""
"""Shows whether all weights of a checkpoint, a `pathlib.Path`, arrive."""
