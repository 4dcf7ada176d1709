"""What looks like a secret is hidden, and what only sounds like one is not."""

import copy
import json
from typing import Any

import pytest

from auditor.core.secrets import MASK, is_secret, sealed, shown_setting, told_spec


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wandb_api_key", "0123abcd"),
        ("args.apiKey", "x"),
        ("apikey", "x"),
        ("hub_token", "abc"),
        ("HF_TOKEN", "abc"),
        ("password", "hunter2"),
        ("db.password", 1234),
        ("client_secret", "s"),
        ("secrets.wandb", "s"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("keys", ["one", "two"]),
        ("note", "pushed with hf_abcdefghijklmnop"),
        ("note", "sk-abcdefghijklmnopqrst"),
        ("tracking_uri", "https://me:pw@mlflow.example.org"),
        ("note", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
        ("note", ["AKIAIOSFODNN7EXAMPLE"]),
        ("note", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_secrets_are_hidden(name: str, value: object) -> None:
    assert is_secret(name, value)
    assert shown_setting(name, value) == MASK


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.1),
        ("max_tokens", 512),
        ("num_key_value_heads", 8),
        ("pad_token_id", 0),
        ("pad_token", "<pad>"),
        ("mask_token", "[MASK]"),
        ("tokenizer", "bert-base-uncased"),
        ("key_dim", 64),
        ("monkey", "x"),
        ("optimizer", "SGD"),
        ("hub_token", None),
        ("use_auth_token", False),
        ("password", ""),
        ("tracking_uri", "https://mlflow.example.org:8080/x"),
        ("note", "skill-based"),
    ],
)
def test_what_only_sounds_like_a_secret_is_shown(name: str, value: object) -> None:
    assert not is_secret(name, value)
    assert shown_setting(name, value) == str(value)


def test_what_is_shown_is_one_line_and_bounded() -> None:
    shown = shown_setting("note", "a\nb\u202e" + "x" * 10_000, 60)
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert len(shown) < 150


SPEC: dict[str, Any] = {
    "name": "digits",
    "model": {
        "factory": "hf_model_builder:build",
        "args": {
            "width": 8,
            "token": "abc",
            "store": {"password": "hunter2"},
            "ratio": float("nan"),
        },
        "checkpoint": "s3://AKID:hunter2@bucket/w.pt?sig=hunter2&v=1",
        "key": "state.token",
    },
    "data": {"args": {"urls": ["https://me:hunter2@host/x", "https://host/y"], "path": "a/b"}},
}


def test_a_spec_is_told_without_its_secrets() -> None:
    told = told_spec(SPEC)
    assert "hunter2" not in json.dumps(told, allow_nan=False)
    assert told["model"] == {
        "factory": "hf_model_builder:build",
        "args": {"width": 8, "token": MASK, "store": {"password": MASK}, "ratio": "nan"},
        "checkpoint": "s3://bucket/w.pt?sig=(hidden)&v=1",
        "key": "state.token",
    }
    assert told["data"] == {"args": {"urls": MASK, "path": "a/b"}}
    assert told_spec(told) == told


def test_a_seal_tells_whether_secrets_are_the_same_and_no_more() -> None:
    seal = sealed(SPEC)
    assert sealed(SPEC, seal) == seal != sealed(SPEC)
    other = copy.deepcopy(SPEC)
    other["model"]["args"]["store"]["password"] = "hunter3"
    assert sealed(other, seal) != seal
    assert "hunter2" not in seal
    assert sealed({"model": {"args": {"width": 8}}}) == ""
