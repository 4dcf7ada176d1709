"""The parts of a model whose own derivative is wrong, and what there is to say of them."""

from dataclasses import dataclass
from typing import Literal

from auditor.core.text import listed
from auditor.core.values import Number

Cause = Literal["detach", "no_grad", "data", "number", "write", "in_place", "hook", "function"]
Kind = Literal["cut", "scaled", "wrong", "surrogate", "raises"]

EXPLICIT: frozenset[Cause] = frozenset({"detach", "no_grad"})
"""Ways to stop a gradient that say so themselves."""

FLIPPED = 1e-6
"""How near to -1 a factor is for nothing but the sign to be wrong."""


@dataclass(frozen=True)
class Sign:
    """Something in a module's own code that gradients don't follow, and its line ("net.py:7")."""

    cause: Cause
    name: str
    line: str = ""
    code: str = ""

    @property
    def shown(self) -> str:
        """Return what it is and where."""
        what = f"custom function {self.name}" if self.cause == "function" else self.name
        return f"{what} at {self.line}" if self.line else what


@dataclass(frozen=True)
class Culprit:
    """The innermost part whose own derivative is wrong, tried alone on the inputs it was given.

    `module` is its path ("" is the whole model), `type` its class; `part` is `loss` where it is the
    loss. `of` says of what the derivative is wrong: "input", "parameters". `error` and `factor` are
    as in `Checked`. `needed` tells whether trainable parameters hang on that derivative, `identity`
    whether it hands on what it is given, `library` whether the part is one of torch's own.
    `said` is what it raised.
    """

    module: str
    type: str
    part: Literal["module", "loss"]
    kind: Kind
    of: tuple[str, ...]
    error: Number
    factor: Number
    needed: bool
    identity: bool
    library: bool
    signs: tuple[Sign, ...] = ()
    said: str = ""

    @property
    def reversal(self) -> bool:
        """Tell whether it hands on its input and turns the gradient round, as reversals do."""
        return self.kind == "scaled" and self.identity and self.factor < 0

    @property
    def stopped(self) -> bool:
        """Tell whether a part of its gradient, not the whole, is stopped by code that says so."""
        causes = {sign.cause for sign in self.signs}
        return self.kind in ("wrong", "scaled") and bool(causes) and causes <= EXPLICIT

    @property
    def shown(self) -> str:
        """Return what to call it in a sentence."""
        if self.part == "loss":
            return "the loss"
        if not self.module:
            return f"the model's own forward ({self.type})"
        return f"layer {self.module} ({self.type})"

    def told(self) -> str:
        """Return what is wrong with a part, in a sentence."""
        name = self.shown
        if self.kind == "raises":
            return f"The backward pass of {name} raises."
        if self.kind == "surrogate":
            said = "is a step function, whose backward pass gives a surrogate of a zero derivative"
        elif self.reversal:
            said = f"hands on its input and turns its gradient round, times {-self.factor:.3g}"
        elif self.library:
            said = "leaves a part out of its gradient by design"
        elif self.kind == "cut":
            said = "stops the gradient of its " + " and ".join(self.of)
        elif self.kind == "scaled" and abs(self.factor + 1) < FLIPPED:
            said = "gives its gradient the wrong sign"
        elif self.kind == "scaled":
            said = f"gives {self.factor:.3g} times its gradient"
        else:
            said = f"gives a wrong gradient (relative error {self.error:.2g})"
        seen = listed([sign.shown for sign in self.signs], 2)
        name = f"{name[0].upper()}{name[1:]}"
        return f"{name} {said}" + (f": {seen}." if seen else ".")

    def cure(self, sign: Sign) -> str:
        """Return what to do about one sign."""
        at = f" at {sign.line}" if sign.line else ""
        code = f" (`{sign.code}`)" if sign.code else ""
        name = self.shown
        match sign.cause:
            case "function":
                return (
                    f"Derive `backward` of `{sign.name}`{at} anew; it is right when this passes: "
                    f"`torch.autograd.gradcheck({sign.name}.apply, torch.randn(4, "
                    "dtype=torch.float64, requires_grad=True))` (with the inputs that it takes)."
                )
            case "detach" | "no_grad":
                return f"Take {sign.name}{at}{code} out of {name}, if gradients are to pass there."
            case "data":
                return f"Take `.data`{at}{code} out of {name}: use the tensor itself."
            case "number":
                return (
                    f"Keep tensors in {name}: {sign.name}{at}{code} makes a plain number, without "
                    "a gradient."
                )
            case "write":
                return (
                    f"Replace the write{at}{code} in {name}, behind autograd's back, by a new "
                    "tensor: `y = y * 2` for `y.data.mul_(2)`."
                )
            case "in_place":
                return (
                    f"Make a new tensor{at}{code} in {name}, do not edit one that the backward "
                    "pass needs: `x = x + y` for `x += y`, `inplace=False` for an activation."
                )
            case "hook":
                return (
                    f"Take the hook{at}{code} in {name} off, which changes gradients as they pass."
                )
