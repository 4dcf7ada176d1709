"""The YAML of a spec is understood as it reads, or refused with the place and the reason."""

import time
from pathlib import Path
from typing import Any

import pytest

from auditor.core.errors import InputError
from auditor.core.spec_file import LARGEST, read_spec
from auditor.core.spec_yaml import loaded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("1e-3", 1e-3),
        ("5e4", 5e4),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("1_000", 1000),
        ("-3", -3),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("2024-01-01", "2024-01-01"),
        ("2024-13-45", "2024-13-45"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("=", "="),
        ("'012'", "012"),
        ("1.2.3", "1.2.3"),
        ("!!str 3", "3"),
        ("é 🙂", "é 🙂"),
        ("&anchor word", "word"),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    read = loaded(f"key: {text}\n")["key"]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_a_byte_order_mark_are_of_any_editor(ends: str) -> None:
    assert loaded(f"\ufeffa: 1{ends}b: 2{ends}") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    {
        "a: &a [x]\nb: [*a, *a]\n": ("line 2", "aliases"),
        "a: &a {b: *a}\n": ("line 1", "aliases"),
        "a: {<<: {b: 1}}\n": ("line 1", "merge"),
        "a: 1\n'a': 2\n": ("line 2", "'a'", "twice"),
        "a: {1: b, '1': c}\n": ("'1'", "twice"),
        "? [a]\n: b\n": ("line 1", "a key is a word"),
        "a: !!python/object/new:os.system [x]\n": ("line 1", "python/object/new:os.system"),
        "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x\n": ("line 3", "tag"),
        "a: !!binary AAAA\n": ("line 1", "binary"),
        "a: !!timestamp 2024-01-01\n": ("line 1", "timestamp"),
        "a: !!set {b}\n": ("line 1", "set"),
        "a: !!bool maybe\n": ("'maybe'",),
        "a: !!int x\n": ("'x'",),
        "a: 012\n": ("line 1", "012", "write 12", "0o12"),
        f"a: {'9' * 5000}\n": ("line 1", "5,000 digits"),
        f"a: 0x{'f' * 6000}\n": ("line 1", "digits"),
        f"a: {'[' * 3000}{']' * 3000}\n": ("line 1", "more than 64 deep"),
        "".join(f"{' ' * n}a:\n" for n in range(400)): ("more than 64 deep",),
        'a: "x\\0y"\n': ("line 1", "zero byte"),
        'a: "\\ud800"\n': ("line 1", "half a character"),
        '"\\0": 1\n': ("line 1", "zero byte"),
        "a: 1\nb: x\0y\n": ("line 2", "\\x00"),
        "a: 1\nb: \x9b31m\n": ("line 2", "\\x9b"),
        "a: 1\n\tb: 2\n": ("line 2", "\\t"),
        "a: @b\n": ("line 1",),
        "a: 1\n--- \na: 2\n": ("line 2",),
    }.items(),
)
def test_what_could_mean_two_things_or_do_one_is_refused(text: str, words: tuple[str, ...]) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r".") as refusal:
        loaded(text)
    message = str(refusal.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert len(message) < 400
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name: \xe9\n", "UTF-8"),
        ("version: 1\n".encode("utf-16"), "UTF-8"),
        (b"\x80\x02}q\x00.", "UTF-8"),
        (b"name: " + b"x" * LARGEST, "bytes"),
        (b"Loss: a\nloss: b\n", "unknown key 'Loss'; did you mean 'loss'?"),
        (b"'': 1\n", "unknown key ''"),
        (b"audit: {seed: 1:30}\n", "audit.seed: "),
        (b"version: yes\n", "not 'yes'"),
        (b"\n".join(b"k%d: 1" % n for n in range(9000)), "and 8996 more"),
    ],
)
def test_a_bad_spec_is_one_short_message(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "audit.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError) as refusal:
        read_spec(path)
    assert words in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 5


def test_names_of_the_night_are_words(tmp_path: Path) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text("name: no\naudit: {waive: [{check: a, reason: on, until: 2030-01-02}]}\n")
    spec = read_spec(path)
    assert (spec.name, spec.audit.waive[0].reason) == ("no", "on")
    assert str(spec.audit.waive[0].until) == "2030-01-02"
