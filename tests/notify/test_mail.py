"""E-mail, against a real SMTP server on the loopback."""

import email
import email.policy
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from auditor.core.errors import InputError
from auditor.core.notify_spec import EmailSpec
from auditor.core.verdict import Verdict
from auditor.notify.mail import mail
from tests.notify.news import HOSTILE, news

KNOWN = {"PASSWORD": "hunter2"}


class Inbox:
    """What a server was sent; `refuses` are readers that it does not know."""

    def __init__(self, *refuses):
        self.refuses = refuses
        self.letters = []
        self.readers = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuses:
            return "550 no such reader"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.readers.append(envelope.rcpt_tos)
        return "250 OK"


def known_user(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"me", b"hunter2"), handled=False)


@contextmanager
def serving(inbox, **options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def spec(port, **changed):
    values = {"to": "team@example.org", "from": "audit@example.org", "host": "localhost"}
    return EmailSpec.model_validate({**values, "port": port, "tls": "none", **changed})


def test_a_letter_arrives():
    inbox = Inbox()
    with serving(inbox) as port:
        mail(spec(port, to=["one@example.org", "two@example.org"]), news(), {})
    (letter,) = inbox.letters
    assert inbox.readers == [["one@example.org", "two@example.org"]]
    assert letter["Subject"] == "digits failed (passed before): 1 new, 1 fixed"
    assert letter["From"] == "audit@example.org"
    assert letter["To"] == "one@example.org, two@example.org"
    assert letter["Message-ID"].endswith("@example.org>")
    assert letter["Date"]
    assert letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_body(("plain",)).get_content()
    assert text.splitlines() == [
        "digits failed (passed before): 1 new, 1 fixed.",
        "",
        "New",
        "  - Units are dead (dead-units): features.3",
        "",
        "Fixed",
        "  - Labels look right (label-noise)",
        "",
        "Checks: 40 pass, 1 fail",
        "Report: /models/digits/audit-report/2026-11-27T0200Z/report.html",
        "Audited: 2026-11-27T02:00:00+00:00",
    ]
    page = letter.get_body(("html",)).get_content()
    assert "<li>Units are dead (dead-units): features.3</li>" in page


def test_no_name_adds_a_line_to_the_head_or_a_tag_to_the_page():
    inbox = Inbox()
    with serving(inbox) as port:
        mail(spec(port), news(name=HOSTILE, report=HOSTILE), {})
    (letter,) = inbox.letters
    assert letter["Bcc"] is None
    assert inbox.readers == [["team@example.org"]]
    assert "\\r\\nBcc: all@example.org" in letter["Subject"]
    page = letter.get_body(("html",)).get_content()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page + letter["Subject"]


def test_a_line_with_a_dot_alone_is_no_end():
    inbox = Inbox()
    with serving(inbox) as port:
        mail(spec(port), news(report=".\r\n.\r\nMAIL FROM:<x@y>"), {})
    assert len(inbox.letters) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of this machine's own, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", made),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    return made, context


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_the_way_is_encrypted_and_the_certificate_checked(monkeypatch, certificate, tls):
    file, context = certificate
    inbox = Inbox()
    wanted = {"tls": tls, "user": "me", "password": "env:PASSWORD"}
    with served(inbox, tls, context) as port:
        with pytest.raises(InputError, match="was not reached: self-signed certificate"):
            mail(spec(port, **wanted), news(), KNOWN)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        mail(spec(port, **wanted), news(), KNOWN)
        with pytest.raises(InputError) as refused:
            mail(spec(port, **wanted), news(), {"PASSWORD": "wrong-one"})
    assert str(refused.value).endswith("refused user and password (535)")
    assert len(inbox.letters) == 1


def served(inbox, tls, context):
    """A server that takes nothing in the clear."""
    options = {"authenticator": known_user, "auth_required": True}
    if tls == "starttls":
        return serving(inbox, tls_context=context, require_starttls=True, **options)
    return serving(inbox, ssl_context=context, auth_require_tls=False, **options)


@pytest.mark.parametrize(
    ("inbox", "to", "says"),
    [
        (Inbox("a@example.org"), ["a@example.org"], "takes no mail for a@example.org"),
        (
            Inbox("a@example.org"),
            ["a@example.org", "b@example.org"],
            "takes no mail for a@example.org; the others have it",
        ),
    ],
)
def test_readers_whom_the_server_does_not_know(inbox, to, says):
    with serving(inbox) as port, pytest.raises(InputError, match=says):
        mail(spec(port, to=to), news(), {})
    assert len(inbox.letters) == len(to) - 1


def test_servers_that_don_t_answer_as_they_should():
    with serving(Inbox()) as port, pytest.raises(InputError, match="knows no encryption"):
        mail(spec(port, tls="starttls"), news(), {})
    with pytest.raises(InputError, match=r"localhost:\d+ was not reached: Connection refused"):
        mail(spec(port), news(), {})


def test_a_headline_tells_the_most():
    from auditor.notify.wording import headline

    assert headline(news(before=None, changes=())) == "digits failed"
    assert headline(news(after=Verdict.PASS, changes=())) == "digits passed"
    assert headline(news(before=Verdict.INCOMPLETE, after=Verdict.WARN, changes=())) == (
        "digits has warnings (was incomplete before)"
    )
