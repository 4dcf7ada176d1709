"""What Lightning keeps of the arguments that a module or a data module was made with."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.core.text import clean_text
from auditor.opening.contents import Opaque

MODULE = "hyper_parameters"
DATA = "datamodule_hyper_parameters"
NAMES = {MODULE: "hparams_name", DATA: "datamodule_hparams_name"}
"""Where Lightning keeps the name of the one argument that held them all."""


@dataclass(frozen=True)
class Arguments:
    """Arguments by name; `strange` are those whose values were objects, by their classes.

    `whole` names the one parameter that took them all, empty where they were passed one by one.
    """

    values: dict[str, Any] = field(default_factory=dict)
    strange: dict[str, str] = field(default_factory=dict)
    whole: str = ""

    def of(self, kind: type) -> dict[str, Any]:
        """Return the keyword arguments among them that a class takes."""
        takes = inspect.signature(kind).parameters
        if self.whole in takes:
            return {self.whole: Attributes(self.values)}
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values()):
            return dict(self.values)
        return {name: value for name, value in self.values.items() if name in takes}


class Attributes(dict[str, Any]):
    """A mapping whose values are its attributes too, as a namespace or a configuration has them."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


def arguments_in(tree: Any, held: Any) -> dict[str, Arguments]:
    """Return the arguments that a checkpoint keeps, by the key under which they stand.

    `tree` is what stands in it, and `held` the same with live tensors.
    """
    found = {}
    for key, naming in NAMES.items():
        inner = tree.get(key) if isinstance(tree, Mapping) else None
        if isinstance(inner, Opaque):
            inner = inner.held
        if isinstance(inner, Mapping):
            strange = {
                str(name): class_name for name, v in inner.items() if (class_name := _object_in(v))
            }
            values = {str(n): v for n, v in held[key].items() if str(n) not in strange}
            whole = tree.get(naming)
            named = isinstance(whole, str) and whole != "kwargs" and whole.isidentifier()
            found[key] = Arguments(values, strange, whole if named else "")
    return found


def _object_in(value: Any) -> str:
    """Return the class of an object that stands in a value, empty where it is plain throughout."""
    if isinstance(value, Opaque):
        return clean_text(value.name, 120)
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(inner, Iterable) or isinstance(inner, str):
        return ""
    return next((name for one in inner if (name := _object_in(one))), "")
