import pytest

from auditor.intake.git import Answer, read_status, shown_remote


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo.git"),
        ("https://user:secret@host/org/repo", "https://host/org/repo"),
        ("https://secret@host/org/repo?private_token=secret#secret", "https://host/org/repo"),
        ("https://a@secret:b@host/repo", "https://host/repo"),
        ("ssh://git:secret@host:22/repo", "ssh://host:22/repo"),
        ("git@github.com:org/repo.git", "github.com:org/repo.git"),
        ("user:secret@host:org/repo", "a folder or an address of another kind"),
        ("/home/secret/repo", "a folder or an address of another kind"),
        (r"C:\secret\repo", "a folder or an address of another kind"),
        ("ext::sh -c secret", "a folder or an address of another kind"),
        ("ftp://user:secret@host/repo", "a folder or an address of another kind"),
    ],
)
def test_remotes_are_told_without_secrets(url: str, shown: str) -> None:
    assert shown_remote(url) == shown
    assert "secret" not in shown_remote(url)


def test_a_status_is_read() -> None:
    parts = [
        "# branch.oid abc",
        "# branch.head main",
        "# branch.upstream origin/main",
        "# branch.ab +2 -1",
        "1 .M N... 100644 100644 100644 aa aa a file.py",
        "1 .M S.M. 160000 160000 160000 aa aa parts",
        "2 R. N... 100644 100644 100644 aa aa R100 new name.py",
        "old name.py",
        "u UU N... 100644 100644 100644 100644 aa aa aa both.py",
    ]
    status = read_status(Answer("\0".join(parts) + "\0"))
    assert (status.commit, status.branch, status.ahead) == ("abc", "main", 2)
    assert status.changed == ["a file.py", "parts", "new name.py", "both.py"]
    assert status.submodules == ["parts"]


def test_a_status_before_the_first_commit() -> None:
    status = read_status(Answer("# branch.oid (initial)\0# branch.head (detached)\0"))
    assert (status.commit, status.branch) == ("", "")
