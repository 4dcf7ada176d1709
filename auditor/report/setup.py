"""The names that code to paste takes for granted, made of what the spec names."""

import re
from collections.abc import Mapping
from typing import Any

from auditor.core import snippets
from auditor.core.addresses import is_address
from auditor.core.advice import LONGEST_LINE, quoted
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text

_CALLABLE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_NAME = re.compile(r"[A-Za-z_]\w*")


def setup_code(record: AuditRecord) -> str:
    """Return code that makes what code to paste uses, as the audit had it.

    That is `model`, the `path` of its checkpoint, loaders, `loss_fn` and `optimizer`. It runs in
    the folder of the spec. Empty where the spec names no factory.
    """
    spec = record.spec
    model, data = _part(spec, "model"), _part(spec, "data")
    imports = ["from pathlib import Path", "import torch"]
    lines: list[str] = []
    built = _call(model.get("factory"), "build_model", model.get("args"), imports)
    if not built:
        return ""
    lines.append(f"model = {built}")
    if record.subject.checkpoint is not None and model.get("checkpoint"):
        imports.append("from auditor.intake.checkpoint import open_checkpoint")
        key = f", {quoted(model['key'])}" if model.get("key") else ""
        if model.get("allow_pickle"):
            key += f", vouched={quoted(model['allow_pickle'])}"
        place = str(model["checkpoint"])
        if is_address(place):
            imports.append("from auditor.opening.remote import fetched")
        lines.append(f"path = {'fetched' if is_address(place) else 'Path'}({quoted(place)})")
        imports.append("from auditor.intake.weights import fit")
        allowed = _allowed(_part(model, "allow"), imports)
        lines.append(f"saved = open_checkpoint(path{key}).weights")
        lines.append(f'model.load_state_dict(fit(saved, model, "checkpoint"{allowed}).weights)')
    for split in ("train", "val"):
        loaded = _call(data.get(split), f"load_{split}", data.get("args"), imports)
        if loaded:
            lines.append(f"{split}_loader = {loaded}")
    loss = spec.get("loss")
    if isinstance(loss, str) and _NAME.fullmatch(loss):
        lines.append(f"loss_fn = torch.nn.functional.{loss}")
    elif isinstance(loss, str) and (found := _CALLABLE.fullmatch(loss)):
        imports.append(f"from {found[1]} import {found[2]} as loss_fn")
    told = _part(_part(spec, "training"), "optimizer")
    name, settings = str(told.get("name", "")), {k: v for k, v in told.items() if k != "name"}
    if settings and all(map(_plain, settings.values())):
        lines.append(snippets.optimizer(name, settings))
    code = [clean_text(line) for line in (*imports, "", *lines) if line or line == ""]
    return "\n".join(code) if max(map(len, code)) <= LONGEST_LINE else ""


def _allowed(allow: Mapping[str, Any], imports: list[str]) -> str:
    """Return the argument of `fit` for what the spec allows to be left out, "" for nothing."""
    given = {what: patterns for what, patterns in allow.items() if patterns}
    if not given:
        return ""
    imports.append("from auditor.core.spec import AllowSpec")
    named = (f"{what}=({''.join(f'{quoted(one)}, ' for one in given[what])})" for what in given)
    return f", AllowSpec({', '.join(named)})"


def _part(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = values.get(key)
    return part if isinstance(part, dict) else {}


def _call(where: Any, name: str, arguments: Any, imports: list[str]) -> str:
    """Return the call of a "module:callable" under another name; empty where it can't be written.

    Its import is added to the others.
    """
    found = _CALLABLE.fullmatch(where) if isinstance(where, str) else None
    given = arguments if isinstance(arguments, dict) else {}
    if found is None or not all(_NAME.fullmatch(str(k)) and _plain(v) for k, v in given.items()):
        return ""
    imports.append(f"from {found[1]} import {found[2]} as {name}")
    return f"{name}({', '.join(f'{k}={_literal(v)}' for k, v in given.items())})"


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _literal(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)
