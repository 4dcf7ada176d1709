"""News to a webhook: JSON, signed, tried again where that may help."""

import datetime
import email.message
import email.utils
import hashlib
import hmac
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from auditor.core.errors import InputError
from auditor.core.notify_spec import WebhookSpec, checked_address, on_this_machine
from auditor.core.text import clean_text
from auditor.notify.news import News
from auditor.notify.payload import payload
from auditor.notify.variables import looked_up

PAUSES = (1.0, 4.0, 16.0)
"""Seconds before each further try, where the server doesn't say how long."""

LONGEST_PAUSE = 60.0
"""Seconds that a server may ask to wait; who asks for more is not asked again."""

TIMEOUT = 10.0
"""Seconds without an answer."""


class _Stays(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the news, and what they are signed with, are for the address alone."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def call_webhook(
    hook: WebhookSpec,
    news: News,
    known: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Post the news. Every try has the same id in `X-Audit-Delivery`, so that none counts twice.

    Raises:
        InputError: the server was not reached, or refused; the message names its host alone.
    """
    try:
        url = checked_address(looked_up(hook.url, known), allow_http=hook.allow_http)
    except ValueError as error:
        raise InputError(f"not sent: url: {error}") from None
    body, delivery = payload(news)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "auditor",
        "X-Audit-Delivery": delivery,
    }
    if hook.secret is not None:
        key = looked_up(hook.secret, known).encode()
        headers["X-Audit-Signature"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    host = urlsplit(url).hostname or ""
    # A proxy knows nothing of this machine's own addresses.
    direct = [urllib.request.ProxyHandler({})] if on_this_machine(host) else []
    opener = urllib.request.build_opener(_Stays, *direct)
    request = urllib.request.Request(url, body, headers, method="POST")
    tried = 0
    for pause in (*PAUSES, None):
        tried += 1
        try:
            with opener.open(request, timeout=TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            said, wait = f"answered {error.code}", _asked(error.headers)
            error.close()
            again = error.code in (408, 429) or error.code >= 500
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            said, wait = _reason(reason), None
            again = not isinstance(reason, ssl.SSLCertVerificationError)
        wait = pause if wait is None else wait
        if not again or pause is None or wait is None or wait > LONGEST_PAUSE:
            break
        sleep(wait)
    times = "" if tried == 1 else f", {tried} times"
    raise InputError(f"not sent: {clean_text(host, 80)} {said}{times}")


def _asked(headers: email.message.Message) -> float | None:
    """Return the seconds that a server asks to wait, None where it doesn't."""
    said = headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said[:9])
    try:
        until = email.utils.parsedate_to_datetime(said)
        return max(0.0, (until - datetime.datetime.now(until.tzinfo)).total_seconds())
    except (ValueError, TypeError):
        return None


def _reason(error: object) -> str:
    """Return why a server was not reached, in words that hold no address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted: {clean_text(error.verify_message)}"
    if isinstance(error, TimeoutError):
        return f"did not answer within {TIMEOUT:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return f"was not reached: {clean_text(error.strerror)}"
    return f"was not reached: {clean_text(type(error).__name__)}"
