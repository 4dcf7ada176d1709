"""What looks like a secret is hidden, and what only sounds like one is not."""

import pytest

from auditor.core.secrets import MASK, is_secret, shown_setting


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
