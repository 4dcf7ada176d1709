"""Addresses are told from paths, and shown without what opens them."""

import pytest

from auditor.core.addresses import credentials_in, is_address, without_credentials
from auditor.core.spec import AuditSpec, ModelSpec


@pytest.mark.parametrize(
    "named", ["s3://bucket/w.pt", "hf://org/model", "memory://w.pt", "HTTPS://host/w", "gs://b/a b"]
)
def test_addresses(named: str) -> None:
    assert is_address(named)


@pytest.mark.parametrize(
    "named",
    ["w.pt", "/a/b://c", "a b://c", "C:\\w.pt", "s3:/bucket", "s3//x", "://x", "x:y.pt", "s3://",
     "1://x", "é://x", "simplecache::s3://b/w", "./s3://bucket/w.pt", "~/w?x=1#y", ""],
)  # fmt: skip
def test_paths_are_none_whatever_characters_they_have(named: str) -> None:
    assert not is_address(named)
    assert without_credentials(named) == named
    assert credentials_in(named) == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/w.pt", "s3://bucket/w.pt"),
        ("s3://bucket/w.pt?versionId=a1", "s3://bucket/w.pt?versionId=a1"),
        ("s3://key:secret@bucket/w.pt", "s3://bucket/w.pt"),
        ("s3://bucket/w.pt?password=x1y2", "s3://bucket/w.pt"),
        ("abfs://box@account.dfs.core.windows.net/w", "abfs://box@account.dfs.core.windows.net/w"),
        ("sftp://me@host/w.pt", "sftp://me@host/w.pt"),
        ("sftp://me:pass@host/w.pt", "sftp://host/w.pt"),
        ("hf://org/model@main/w.pt", "hf://org/model@main/w.pt"),
        ("https://host/a/w.pt?X-Amz-Signature=abc&x=1#t=2", "https://host/a/w.pt"),
        ("https://t0ken@host/w.pt", "https://host/w.pt"),
        ("https://host?token=a/b@c", "https://host"),
        ("https://me:p@ss@host/w.pt", "https://host/w.pt"),
    ],
)
def test_credentials_are_not_shown(address: str, shown: str) -> None:
    assert without_credentials(address) == shown
    assert without_credentials(shown) == shown
    assert all(part not in shown for part in credentials_in(address))


def test_what_hides_in_an_address_is_known_in_every_spelling() -> None:
    parts = credentials_in("https://me:p%40ss@host/w.pt?sig=a%2Fb&sv=long#frag=x1")
    assert {"me:p%40ss", "p%40ss", "p@ss", "a%2Fb", "a/b", "long", "x1"} <= {*parts}


def test_the_title_of_an_audit_has_none() -> None:
    address = "https://me:hunter2@host/w.pt?sig=a.b.c"
    assert AuditSpec(model=ModelSpec(checkpoint=address)).title == "w"
    assert AuditSpec(model=ModelSpec(checkpoint=".")).title == "model"
