"""Texts that want to be more than text wherever they are shown, and what must not come of them."""

import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import cycle
from typing import Any

TEXTS = {
    "script": "<script>window.hit=1</script>",
    "attribute": '"><img src=x onerror=window.hit=1>',
    "closing": "</script></style></title></textarea><svg onload=window.hit=1>",
    "frame": "<iframe srcdoc='<script>top.hit=1</script>'></iframe><base href=//evil.example>",
    "colours": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "link": "\x1b]8;;http://evil.example\x07here\x1b]8;;\x07",
    "lines": "x\n[9/9] everything passed: 1 s\r\naudit: forged",
    "directions": "abc\u202egnp\u2066\u200b\u200f\ufeff\u2028",
    "invisible": "a\u3164b\u034fc\u2800d\U000e0041",
    "zero": "nul\x00byte",
    "half": "half\ud800",
    "long": "m" * 900,
    "sheet": "=cmd|' /C calc'!A0",
    "sum": "+1+1",
    "at": "@SUM(1)",
    "tab": "\t=1",
    "template": "{{7*7}}{% include '/etc/passwd' %}{# x #}${7*7}",
    "mathtext": r"$\frac{1}{2}$ $",
    "markdown": "[x](javascript:window.hit=1) ![](http://evil.example/a) | `a` <b>**b**\n# c",
    "fence": "```\n<script>window.hit=1</script>\n```",
    "entities": "&lt;&#0;&amp; ]]><!--<?xml <!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
    "address": "http://evil.example/x javascript:window.hit=1 mailto:a@evil.example",
    "heap": "a" + "\u0301" * 60 + " 🙂",
    "rich": "[red]x[/red][link=http://evil.example]l[/link]",
}

SECRET = "hunter2-of-the-test"

UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u115f\u1160\u200c-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufeff\uffa0\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What no output may hold: all but the zero-width space, which we put before what would act."""


def strict(text: str) -> Any:
    """Return JSON that has no words for what is not finite."""

    def refused(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refused)


class Markup(HTMLParser):
    """The elements of HTML that somebody's text could have made, and addresses that lead away."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[tuple[str, str]] = []
        self.away: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("srcdoc", "action", "formaction"):
                self.handlers.append((tag, name))
            elif name in ("href", "src", "xlink:href", "data") and not (value or "").startswith(
                ("#", "data:image/")
            ):
                self.away.append(value or "")


ENUMS = {"verdict", "kind", "severity", "bad", "state", "dtype", "base64", "id"}
"""Fields whose texts are from a closed set, or are looked up."""


def hostile_record(good: dict[str, Any], longest: int = 300_000) -> bytes:
    """Return the JSON of a record in which every free text is hostile."""
    texts = cycle([*TEXTS.values(), "n" * longest])
    numbers = iter(range(sys.maxsize))

    def spoilt(value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            if name in ENUMS or value in ("NaN", "Infinity", "-Infinity"):
                return value
            return f"{next(texts)[:60]} {next(numbers)}" if name == "check" else next(texts)
        if isinstance(value, dict):
            return {key: spoilt(inner, key) for key, inner in value.items()}
        return [spoilt(inner, name) for inner in value] if isinstance(value, list) else value

    made = spoilt(good)
    for name in ("has", "lacks", "data", "task"):
        made["subject"][name] = good["subject"][name]
    made["spec"] = {
        **good["spec"],
        "name": TEXTS["script"],
        "model": {"args": {TEXTS["attribute"]: TEXTS["link"], "api_key": SECRET}},
        TEXTS["lines"]: float("nan"),
    }
    made["command"] = f"audit run https://me:{SECRET}@host/{TEXTS['script']}"
    return json.dumps(made).replace("\\ud800", "").encode()  # which a record can't hold at all


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text of plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
