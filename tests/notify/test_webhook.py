"""Webhooks, against a real server on the loopback."""

import hashlib
import hmac
import json
import re
import socket
import time
from email.utils import formatdate

import pytest

from auditor.core.changes import Change, Kind
from auditor.core.errors import InputError
from auditor.core.glance import Spot
from auditor.core.notify_spec import WebhookSpec
from auditor.core.verdict import Verdict
from auditor.notify.payload import payload
from auditor.notify.webhook import call_webhook
from tests.notify.news import HOSTILE, news
from tests.notify.servers import hook
from tests.subjects import ROOT

KNOWN = {"KEY": "hunter2"}


def call(url, sleep=lambda _: None, known=KNOWN, told=None, **options):
    call_webhook(WebhookSpec(url=url, **options), told or news(), known, sleep)


def test_a_server_that_fails_twice_is_told_the_third_time():
    pauses = []
    with hook(503, 500) as served:
        call(f"{served.url}/hook", pauses.append, secret="env:KEY")
    assert len(served.requests) == 3
    assert pauses == [1.0, 4.0]
    bodies = {body for _, _, body in served.requests}
    ids = {headers["X-Audit-Delivery"] for _, headers, _ in served.requests}
    assert len(bodies) == len(ids) == 1
    for path, headers, body in served.requests:
        assert path == "/hook"
        assert headers["Content-Type"] == "application/json"
        wanted = hmac.new(b"hunter2", body, hashlib.sha256).hexdigest()
        assert headers["X-Audit-Signature"] == f"sha256={wanted}"
        assert b"hunter2" not in body


def test_what_a_program_is_told():
    with hook() as served:
        call(served.url)
    ((_, headers, _),) = served.requests
    (told,) = served.told
    assert "X-Audit-Signature" not in headers
    assert told.pop("delivery") == headers["X-Audit-Delivery"]
    assert told == {
        "schema_version": 1,
        "name": "digits",
        "verdict": {"before": "pass", "after": "fail"},
        "counts": {"pass": 40, "fail": 1},
        "changes": [
            {
                "kind": "new",
                "check": "dead-units",
                "title": "Units are dead",
                "places": [{"kind": "layer", "name": "features.3"}],
                "places_left_out": 0,
            },
            {
                "kind": "fixed",
                "check": "label-noise",
                "title": "Labels look right",
                "places": [],
                "places_left_out": 0,
            },
        ],
        "changes_left_out": 0,
        "report": "/models/digits/audit-report/2026-11-27T0200Z/report.html",
        "started": "2026-11-27T02:00:00+00:00",
    }


def test_a_server_says_how_long_to_wait():
    pauses = []
    later = formatdate(time.time() + 30, usegmt=True)
    with hook((429, {"Retry-After": "7"}), (503, {"Retry-After": later}), None) as served:
        call(served.url, pauses.append)
    assert len(served.requests) == 4
    assert pauses[0] == 7.0
    assert 25 < pauses[1] <= 30
    assert pauses[2] == 16.0


@pytest.mark.parametrize(
    ("answers", "tries", "says"),
    [
        ([404], 1, "127.0.0.1 answered 404"),
        ([401], 1, "answered 401"),
        ([(302, {"Location": "http://127.0.0.1:1/"})], 1, "answered 302"),
        ([(307, {"Location": "http://127.0.0.1:1/"})], 1, "answered 307"),
        ([(429, {"Retry-After": "3600"})], 1, "answered 429"),
        ([500] * 9, 4, "answered 500, 4 times"),
        ([None] * 9, 4, "was not reached: RemoteDisconnected, 4 times"),
    ],
)
def test_what_can_t_be_mended_by_trying_again(answers, tries, says):
    with hook(*answers) as served, pytest.raises(InputError) as refused:
        call(f"{served.url}/services/T0/B0/token")
    assert says in str(refused.value)
    assert "token" not in str(refused.value)
    assert len(served.requests) == tries


def test_a_server_that_is_not_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/token"
        with pytest.raises(InputError) as refused:
            call(url)
    assert str(refused.value) == "not sent: 127.0.0.1 was not reached: Connection refused, 4 times"


def test_an_address_may_be_a_secret_itself():
    with hook() as served:
        call("env:URL", known={"URL": f"{served.url}/hook?token=1"})
        with pytest.raises(InputError, match="not sent: the variable URL is not set"):
            call("env:URL", known={})
    assert [path for path, _, _ in served.requests] == ["/hook?token=1"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.org/token", "plain http can be read on the way"),
        ("ftp://example.org/token", "begins with https://"),
        ("file:///etc/token", "expected an address"),
        ("https://me:token@example.org/", "user and password in an address are not sent"),
        ("https://example.org/\ntoken", "expected an address"),
        ("https://exa mple.org/token", "expected an address"),
        ("https://example.org:99999/token", "expected an address"),
        ("token", "expected an address"),
    ],
)
def test_an_address_out_of_a_variable_is_checked_too(url, says):
    with pytest.raises(InputError) as refused:
        call("env:URL", known={"URL": url})
    assert says in str(refused.value)
    assert "token" not in str(refused.value)


def test_no_proxy_comes_between_this_machine_and_itself(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with hook() as served:
        call(served.url)
    assert len(served.requests) == 1


def test_a_body_has_bounds_whatever_a_checkpoint_calls_its_layers():
    spots = tuple(Spot("layer", HOSTILE * 1000 + str(number)) for number in range(1000))
    many = (Change(Kind.NEW, "dead-units", "Units are dead\ud800", spots),) * 1000
    body, _ = payload(news(name=HOSTILE, changes=many))
    assert len(body) < 300_000
    told = json.loads(body)
    assert told["changes_left_out"] == 950
    assert told["changes"][0]["places_left_out"] == 990
    assert "\r" not in told["name"]
    assert "\ud800" not in told["changes"][0]["title"]


def test_other_news_have_another_id():
    assert payload(news())[1] == payload(news())[1]
    assert payload(news())[1] != payload(news(started="2026-11-28T02:00:00+00:00"))[1]
    assert payload(news())[1] != payload(news(after=Verdict.WARN))[1]


def test_the_guide_tells_genuine_messages():
    guide = (ROOT / "docs/notify.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec(code, names)
    with hook() as served:
        call(served.url, secret="env:KEY")
    ((_, headers, body),) = served.requests
    assert names["genuine"](body, headers["X-Audit-Signature"], b"hunter2")
    assert not names["genuine"](body + b" ", headers["X-Audit-Signature"], b"hunter2")
    (shown,) = re.findall(r"```json\n(.*?)```", guide, flags=re.DOTALL)
    assert json.loads(shown).keys() == json.loads(body).keys()
