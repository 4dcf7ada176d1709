"""The pages that come from the code: every command's help, and every key of a spec."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from pydantic import BaseModel

from auditor.cli import app
from auditor.core import notify_spec, spec

WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def commands_page() -> str:
    """Return the help of every command, as the terminal shows it."""
    parts = ["## Every command"]
    for name, command in _commands("audit", typer.main.get_command(app)):
        context = typer.Context(command, info_name=name, terminal_width=80, color=False)
        parts += [f"### {name}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group, each with the words that start it."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _commands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def spec_page() -> str:
    """Return a table of every key of a spec, part by part."""
    schema = spec.AuditSpec.model_json_schema()
    parts = ["## Every key"]
    top = [row for row in _rows(schema, schema, "") if "." not in row[0]]
    parts.append(_table(top))
    for name, field in schema["properties"].items():
        below = _below(schema, field)
        if below is not None:
            parts += [f"### {name}", _table(list(_rows(schema, below[1], "")))]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | value | default | says |", "|---|---|---|---|"]
    cells = (f"| `{key}` | {kind} | {default} | {said} |" for key, kind, default, said in rows)
    return "\n".join([*lines, *cells])


def _rows(
    schema: dict[str, Any], part: dict[str, Any], prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, kind of value, default and meaning of every key of a part and those below it."""
    model = getattr(spec, part["title"], None) or getattr(notify_spec, part["title"])
    says = _said(model)
    for name, field in part["properties"].items():
        if name == "base":
            continue
        below = _below(schema, field)
        kind = _kind(schema, field)
        required = name in part.get("required", [])
        yield f"{prefix}{name}", kind, _default(field, required), says[name]
        if below is not None:
            key, inner = below
            yield from _rows(schema, inner, f"{prefix}{name}.{key}")


def _part(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found


def _below(schema: dict[str, Any], field: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the part that a field's values are made of, and the keys on the way to it."""
    if "$ref" in field:
        return "", _part(schema, field)
    for choice in field.get("anyOf", ()):
        if "$ref" in choice:
            return "", _part(schema, choice)
    if "$ref" in field.get("items", {}):
        return "", _part(schema, field["items"])
    inner, key = field.get("additionalProperties"), ""
    while isinstance(inner, dict):
        key += "*."
        if "$ref" in inner:
            return key, _part(schema, inner)
        inner = inner.get("additionalProperties")
    return None


def _kind(schema: dict[str, Any], field: dict[str, Any]) -> str:
    if "anyOf" in field:
        kinds = (_kind(schema, choice) for choice in field["anyOf"] if choice != {"type": "null"})
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("format") == "date":
        return "date"
    if field.get("type") == "array":
        return f"list of {_kind(schema, field['items'])}"
    if "$ref" in field or field.get("type") == "object":
        return "mapping"
    above = " above 0" if field.get("exclusiveMinimum") == 0 else ""
    return f"{WORDS[field['type']]}{above}"


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "has to be given"
    value = field.get("default")
    return "" if value is None or value == {} or "$ref" in field else f"`{json.dumps(value)}`"


def _said(part: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below the fields of a part of the spec."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    assert isinstance(body, ast.ClassDef)
    return {
        part.model_fields[field.target.id].alias or field.target.id: " ".join(
            said.value.value.split()
        )
        for field, said in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
        and isinstance(said.value.value, str)
    }
