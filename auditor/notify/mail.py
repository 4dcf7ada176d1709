"""News as e-mail."""

import email.utils
import smtplib
import socket
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP

from auditor.core.errors import InputError
from auditor.core.notify_spec import EmailSpec
from auditor.core.text import clean_text, listed
from auditor.notify.news import News
from auditor.notify.payload import payload
from auditor.notify.variables import looked_up
from auditor.notify.wording import as_html, as_text, headline

PORTS = {"starttls": 587, "tls": 465, "none": 25}
TIMEOUT = 20.0
"""Seconds without an answer."""


def mail(to: EmailSpec, news: News, known: Mapping[str, str]) -> None:
    """Send the news to every reader.

    Raises:
        InputError: the server was not reached, or refused; the message holds no secret.
    """
    user = None if to.user is None else looked_up(to.user, known)
    password = None if to.password is None else looked_up(to.password, known)
    port = to.port or PORTS[to.tls]
    where = f"{to.host}:{port}"
    try:
        with _server(to, port) as server:
            if to.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if user is not None and password is not None:
                server.login(user, password)
            refused = server.send_message(letter(to, news))
    except smtplib.SMTPRecipientsRefused as error:
        readers = listed(list(error.recipients))
        raise InputError(f"not sent: {where} takes no mail for {readers}") from None
    except smtplib.SMTPResponseException as error:
        raise InputError(f"not sent: {where} {_refused(error)}") from None
    except smtplib.SMTPNotSupportedError:
        raise InputError(f"not sent: {where} knows no {_lacking(to)}") from None
    except smtplib.SMTPException as error:
        raise InputError(f"not sent: {where}: {clean_text(type(error).__name__)}") from None
    except OSError as error:
        said = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else None
        reason = said or error.strerror or type(error).__name__
        raise InputError(f"not sent: {where} was not reached: {clean_text(reason)}") from None
    if refused:
        raise InputError(f"{where} takes no mail for {listed(list(refused))}; the others have it")


def letter(to: EmailSpec, news: News) -> EmailMessage:
    """Return the message; no name in the news can add a line to its head."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = headline(news)
    message["From"] = to.from_
    message["To"] = ", ".join(to.to)
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = f"<{payload(news)[1]}@{to.from_.partition('@')[2]}>"
    # Nobody who is away answers this.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(as_text(news))
    message.add_alternative(as_html(news), subtype="html")
    return message


def _server(to: EmailSpec, port: int) -> smtplib.SMTP:
    name = socket.gethostname()
    if to.tls == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(to.host, port, name, timeout=TIMEOUT, context=context)
    return smtplib.SMTP(to.host, port, name, timeout=TIMEOUT)


def _lacking(to: EmailSpec) -> str:
    return "encryption by STARTTLS" if to.tls == "starttls" else "log-in"


def _refused(error: smtplib.SMTPResponseException) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"refused user and password ({error.smtp_code})"
        case smtplib.SMTPSenderRefused():
            return f"takes no mail from {clean_text(error.sender)} ({error.smtp_code})"
    return f"refused ({error.smtp_code})"
