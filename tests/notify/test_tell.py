"""Who is told, when, and that no secret shows whatever goes wrong."""

import json
import logging
import sys
from pathlib import Path

import pytest

from auditor.core.changes import Change, Kind
from auditor.core.errors import InputError
from auditor.core.glance import read_glance
from auditor.core.notify_spec import NotifySpec
from auditor.core.spec_file import read_spec, spec_from
from auditor.core.verdict import Verdict
from auditor.notify import news_of, tell
from auditor.notify.news import is_worth_telling
from tests.notify.news import news
from tests.notify.servers import hook
from tests.subjects import ROOT

SECRET = "hunter2"
PASS, WARN, FAIL, INCOMPLETE = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCOMPLETE
MOVED = (Change(Kind.MOVED, "dead-units", "Units are dead"),)
NEW = (Change(Kind.NEW, "dead-units", "Units are dead"),)


@pytest.mark.parametrize(
    ("before", "after", "changes", "change", "fail"),
    [
        (PASS, PASS, (), False, False),
        (FAIL, FAIL, (), False, True),
        (FAIL, FAIL, MOVED, False, True),
        (FAIL, FAIL, NEW, True, True),
        (PASS, WARN, NEW, True, False),
        (FAIL, PASS, (), True, False),
        (PASS, INCOMPLETE, (), True, True),
        (None, PASS, (), False, False),
        (None, Verdict.INFO, (), False, False),
        (None, Verdict.NOT_APPLICABLE, (), False, False),
        (None, WARN, (), True, False),
        (None, FAIL, (), True, True),
    ],
)
def test_people_are_told_when_something_changed(before, after, changes, change, fail):
    told = news(before=before, after=after, changes=changes)
    assert is_worth_telling("change", told) is change
    assert is_worth_telling("fail", told) is fail
    assert is_worth_telling("always", told)


def test_news_come_from_two_glances():
    record = ROOT / "tests/golden/record.json"
    after = read_glance(record)
    same = news_of(after, after, "report.html")
    assert same.before is same.after is FAIL
    assert same.changes == ()
    assert dict(same.counts)[FAIL] == sum(o.verdict is FAIL for o in after.outcomes)
    first = news_of(None, after, "report.html")
    assert first.before is None
    assert first.changes == ()


def told(notify, base=Path(), known=None, **changed):
    return tell(NotifySpec.model_validate(notify), news(**changed), base, known or {})


def test_one_way_that_fails_costs_no_other(tmp_path):
    with hook(404) as broken, hook() as good:
        problems = told(
            {
                "webhook": {"url": broken.url},
                "email": {"to": "a@example.org", "from": "b@example.org", "host": "localhost"}
                | {"port": 1, "tls": "none"},
                "apprise": ["env:SERVICES"],
            },
            known={"SERVICES": f"{good.url.replace('http', 'json')}/hook"},
        )
    assert problems == (
        "notify.webhook: not sent: 127.0.0.1 answered 404",
        "notify.email: not sent: localhost:1 was not reached: Connection refused",
    )
    assert len(good.requests) == 1


def test_nobody_is_told_of_nothing():
    with hook() as served:
        assert told({"webhook": {"url": served.url}}, after=PASS, changes=()) == ()
        assert served.requests == []
        assert told({"webhook": {"url": served.url}, "on": "always"}, after=PASS, changes=()) == ()
        assert len(served.requests) == 1


def test_an_error_that_nobody_thought_of_shows_its_kind_alone(monkeypatch):
    def broken(*_):
        raise RuntimeError(f"https://example.org/{SECRET}")

    monkeypatch.setattr("auditor.notify.call_webhook", broken)
    problems = told({"webhook": {"url": "https://example.org/"}})
    assert problems == ("notify.webhook: not sent: RuntimeError",)


def test_apprise_tells_its_services():
    with hook() as one, hook() as two:
        addresses = f"{one.url.replace('http', 'json')}/a {two.url.replace('http', 'json')}/b"
        assert told({"apprise": ["env:SERVICES"]}, known={"SERVICES": addresses}) == ()
    for served in (one, two):
        (message,) = served.told
        assert message["title"] == "digits failed (passed before): 1 new, 1 fixed"
        assert "Units are dead (dead-units): features.3" in message["message"]
        assert message["type"] == "failure"


def test_apprise_logs_no_address(caplog, capfd):
    with caplog.at_level(logging.DEBUG), hook(500) as served:
        known = {
            "BROKEN": f"{served.url.replace('http', 'json')}/{SECRET}",
            "NONE": f"nothing://{SECRET}",
        }
        problems = told({"apprise": ["env:BROKEN", "env:NONE"]}, known=known)
    assert problems == ("notify.apprise: not everyone was told: see the addresses in BROKEN, NONE",)
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_apprise_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    (problem,) = told({"apprise": ["env:SERVICES"]}, known={"SERVICES": SECRET})
    assert problem == "notify.apprise: not sent: needs pip install 'auditor[apprise]'"


def test_variables_come_from_a_file_too(tmp_path):
    with hook() as served:
        (tmp_path / "secrets.env").write_text(
            "# what the spec does not say\n\nKEY = no\n".replace(" = ", "=")
            + f'HOOK="{served.url}/a=b"\n',
            encoding="utf-8",
        )
        notify = {"webhook": {"url": "env:HOOK", "secret": "env:KEY"}, "env_file": "secrets.env"}
        assert told(notify, tmp_path) == ()
        assert told(notify, tmp_path, {"HOOK": f"{served.url}/c"}) == ()
    assert [path for path, _, _ in served.requests] == ["/a=b", "/c"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{SECRET}\n", "line 1 is not NAME=value"),
        (f"A=1\nB C={SECRET}\n", "line 2 is not NAME=value"),
        (None, "can't be read: No such file or directory"),
        (b"A=\xff", "is no UTF-8 text"),
        ("A=" + "1" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_a_file_of_variables_that_is_none(tmp_path, content, says):
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "env").write_bytes(data)
    (first, *_) = told({"webhook": {"url": "env:HOOK"}, "env_file": "env"}, tmp_path)
    assert first.startswith("notify.env_file: ")
    assert first.endswith(says)
    assert SECRET not in first


@pytest.mark.parametrize(
    ("notify", "says"),
    [
        ({"webhook": {"url": "https://h.org/", "secret": SECRET}}, "write env:NAME"),
        ({"webhook": {"url": f"https://h.org/?token={SECRET}"}}, "write env:NAME"),
        ({"webhook": {"url": f"https://me:{SECRET}@h.org/"}}, "user and password"),
        ({"webhook": {"url": f"http://h.org/{SECRET}"}}, "plain http can be read"),
        ({"webhook": f"https://h.org/{SECRET}"}, "expected a mapping (url, secret, allow_http)"),
        ({"webhook": {"uri": f"https://h.org/{SECRET}"}}, "did you mean 'url'?"),
        ({"webhook": {"url": [SECRET]}}, "notify.webhook.url"),
        ({"apprise": [f"slack://{SECRET}"]}, "write env:NAME"),
        ({"apprise": f"slack://{SECRET}"}, "notify.apprise"),
        ({"email": {"to": "a@h.org", "host": "h.org"}}, "notify.email.from: is missing"),
        ({"email": {"to": "a@h.org", "frm": SECRET}}, "did you mean 'from'?"),
        ({"on": SECRET}, "notify.on"),
        (SECRET, "expected a mapping (on, webhook, email, apprise, env_file)"),
    ]
    + [
        (
            {"email": {"to": "a@h.org", "from": "b@h.org", "host": "h.org", **more}},
            says,
        )
        for more, says in (
            ({"user": "me", "password": SECRET}, "write env:NAME"),
            ({"user": "me"}, "user and password go together"),
            ({"user": "me", "password": "env:P", "tls": "none"}, "to everyone on the way"),
            ({"to": f"a@h.org\nBcc: {SECRET}"}, "expected an address such as"),
            ({"to": []}, "notify.email.to"),
            ({"port": 0}, "notify.email.port"),
            ({"host": f"h.org\n{SECRET}"}, "notify.email.host"),
        )
    ],
)
def test_a_secret_in_a_spec_is_refused_and_not_shown(tmp_path, notify, says):
    with pytest.raises(InputError) as refused:
        spec_from({"notify": notify}, "audit.yaml", tmp_path)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


def test_no_record_and_no_journal_holds_whom_to_tell(tmp_path):
    text = "notify: {webhook: {url: 'https://h.org/x'}, apprise: [env:A], on: always}\n"
    (tmp_path / "audit.yaml").write_text(text, encoding="utf-8")
    spec = read_spec(tmp_path / "audit.yaml")
    assert spec.notify is not None
    assert spec.notify.variables == ("A",)
    assert "notify" not in spec.model_dump(mode="json")
    assert "h.org" not in json.dumps(spec.model_dump(mode="json"))


def test_flags_over_a_spec_leave_the_news_alone(tmp_path):
    from auditor.commands.targets import spec_of

    (tmp_path / "audit.yaml").write_text("notify: {apprise: [env:A]}\n", encoding="utf-8")
    spec = spec_of(str(tmp_path), {("name",): "other"})
    assert spec.name == "other"
    assert spec.notify is not None
    assert spec.notify.apprise == ["env:A"]
