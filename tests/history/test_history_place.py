from pathlib import Path

import pytest

from auditor.core.errors import InputError
from auditor.history.history import HistoryError
from auditor.history.place import history_file


@pytest.mark.parametrize(
    ("named", "environ", "file"),
    [
        (None, {"HOME": "/home/me"}, "/home/me/.local/state/auditor/history.sqlite"),
        (None, {"XDG_STATE_HOME": "/state"}, "/state/auditor/history.sqlite"),
        (
            None,
            {"XDG_STATE_HOME": "relative", "HOME": "/home/me"},
            "/home/me/.local/state/auditor/history.sqlite",
        ),
        (None, {"AUDIT_HISTORY": "team.sqlite", "XDG_STATE_HOME": "/state"}, "team.sqlite"),
        (None, {"AUDIT_HISTORY": "", "HOME": "/h"}, "/h/.local/state/auditor/history.sqlite"),
        ("mine.sqlite", {"AUDIT_HISTORY": "team.sqlite"}, "mine.sqlite"),
    ],
)
def test_where_it_lies(named: str | None, environ: dict[str, str], file: str) -> None:
    assert history_file(named, environ) == Path(file)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "here\x1b"}])
def test_without_a_home_it_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(HistoryError, match="--history or AUDIT_HISTORY, or keep none") as told:
        history_file(None, environ)
    assert "\x1b" not in str(told.value)


def test_the_home_of_nobody() -> None:
    with pytest.raises(InputError, match=r"history\.file: '~nobody-of-this-name/h'"):
        history_file("~nobody-of-this-name/h", {})
