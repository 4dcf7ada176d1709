"""The YAML of a spec: nothing in it is guessed, and nothing of it is run."""

import re
from typing import Any

import yaml

from auditor.core.text import clean_text

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no text of a spec may hold: a zero byte, or half a character."""

DEEPEST = 64
"""Lists and mappings in one another."""

LONGEST_NUMBER = 300
"""Digits of the longest whole number."""


def loaded(text: str) -> Any:
    """Return the plain values in YAML text.

    Raises:
        ValueError: it is no YAML that a spec may be made of; the message says where, and why.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{clean_text(error.problem)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        shown = clean_text(chr(error.character))
        raise ValueError(f"line {line}: the character {shown} is not allowed") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(clean_text(error)) from error


class _Loader(yaml.SafeLoader):
    """YAML of which nothing is guessed: words are words, and what could mean two things is refused.

    Values are read as YAML 1.2 has them: `no`, `on`, `1:30` and dates are words, 1e-3 is a number.
    Keys are words, none of them twice; there are no aliases, no merge keys and no tags of Python.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases are not allowed here", event)
        if self._depth > DEEPEST:
            raise _problem(f"nested more than {DEEPEST} deep", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _problem("not a mapping", node)
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _problem("a key is a word here, not a list or a mapping", key_node)
            if key_node.tag == f"{_TAG}merge":
                raise _problem("merge keys are not allowed here", key_node)
            key = _word(self, key_node)
            if key in made:
                raise _problem(f"the key {clean_text(key, 40)!r} stands here twice", key_node)
            made[key] = self.construct_object(value_node, deep=True)
        return made


def _problem(text: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=where.start_mark)


def _word(_: _Loader, node: yaml.ScalarNode) -> str:
    text = str(node.value)
    if NO_TEXT.search(text):
        raise _problem("a zero byte or half a character stands in this text", node)
    return text


def _whole(_: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    if len(text) > LONGEST_NUMBER:
        raise _problem(f"a number of {len(text):,} digits", node)
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits.isdecimal() and digits[0] == "0":
        plain = digits.lstrip("0") or "0"
        raise _problem(f"{text} may mean two numbers: write {plain}, or 0o{plain} in base 8", node)
    return int(text, 0)


def _number(_: _Loader, node: yaml.ScalarNode) -> float:
    text = node.value.replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _truth(_: _Loader, node: yaml.ScalarNode) -> bool:
    if node.value.lower() not in ("true", "false"):
        raise ValueError(f"{clean_text(node.value, 40)!r} is neither true nor false")
    return bool(node.value.lower() == "true")


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_constructors = {
    **{
        f"{_TAG}{kind}": yaml.SafeLoader.yaml_constructors[f"{_TAG}{kind}"]
        for kind in ("null", "seq", "map")
    },
    f"{_TAG}str": _word,
    f"{_TAG}int": _whole,
    f"{_TAG}float": _number,
    f"{_TAG}bool": _truth,
    None: yaml.SafeLoader.yaml_constructors[None],
}
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _firsts in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_firsts))
"""What a word without quotes is, the first that fits."""
