"""The part of the spec that says whom to tell what came out, and how.

No record and no journal has it: `AuditSpec.notify` is left out wherever a spec is written down.
Nor does it hold secrets, but the names of the variables that do.
"""

import ipaddress
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ENV = "env:"
_REFERENCE = re.compile(rf"{ENV}[A-Za-z_][A-Za-z0-9_]*")
_MAILBOX = re.compile(r"[^\s<>@,;:\"\\]+@[^\s<>@,;:\"\\]+")


def variable(text: str) -> str | None:
    """Return the name of the variable that `text` refers to, None where it refers to none."""
    return text.removeprefix(ENV) if _REFERENCE.fullmatch(text) else None


def on_this_machine(host: str) -> bool:
    """Tell whether a host is this machine by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_address(url: str, *, allow_http: bool) -> str:
    """Return the address of a webhook.

    Raises:
        ValueError: it can't be used; the message doesn't hold it, since it may be a secret.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not re.fullmatch(r"[!-~]+", url):
        raise ValueError("expected an address such as https://example.org/hook")
    if "@" in parts.netloc:
        raise ValueError("user and password in an address are not sent; leave them out")
    if parts.scheme == "https":
        return url
    if parts.scheme != "http":
        raise ValueError("expected an address that begins with https://")
    if not allow_http and not on_this_machine(host):
        raise ValueError("plain http can be read on the way; use https, or set allow_http: true")
    return url


def _reference(text: str) -> str:
    if variable(text) is None:
        raise ValueError(
            "a secret does not stand in a spec; put it into a variable of the environment and "
            "write env:NAME"
        )
    return text


def _mailbox(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError("expected an address such as team@example.org")
    return text


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Secret = Annotated[str, AfterValidator(_reference)]
"""`env:NAME`: the secret is what the variable NAME holds."""

Mailbox = Annotated[str, AfterValidator(_mailbox)]
"""An address of e-mail, without a name."""


class Strict(BaseModel):
    """A part of what is said here; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookSpec(Strict):
    """A webhook: news are posted to it as JSON."""

    url: str
    """Its address, or `env:NAME` where the address itself is a secret."""
    secret: Secret | None = None
    """`env:NAME` of what the signature in `X-Audit-Signature` is made with."""
    allow_http: bool = False
    """Whether an address that begins with `http:` is used beyond this machine."""

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if variable(self.url) is None:
            address = checked_address(self.url, allow_http=self.allow_http)
            if urlsplit(address).query:
                raise ValueError("url: what follows the ? may be a secret; write env:NAME")
        return self


class EmailSpec(Strict):
    """An e-mail, by way of a server that takes it."""

    to: Annotated[list[Mailbox], BeforeValidator(_as_list), Field(min_length=1)]
    """The addresses of its readers."""
    from_: Annotated[Mailbox, Field(alias="from")]
    """The address of its sender."""
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")]
    """The server's name."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its port; 587, 465 or 25, by `tls`, where it is left out."""
    user: str | None = None
    """The name to log in with, or `env:NAME`."""
    password: Secret | None = None
    """`env:NAME` of the password."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the way to the server is encrypted; `none` takes no password beyond this machine."""

    @model_validator(mode="after")
    def _private(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.tls == "none" and self.password is not None and not on_this_machine(self.host):
            raise ValueError("tls: none would show the password to everyone on the way")
        return self


class NotifySpec(Strict):
    """Whom to tell what came out."""

    on: Literal["change", "always", "fail"] = "change"
    """When: where a verdict changed, after every audit, or after each that did not end well."""
    webhook: WebhookSpec | None = None
    """An address that news are posted to."""
    email: EmailSpec | None = None
    """An e-mail."""
    apprise: list[Secret] = []
    """`env:NAME` of addresses of Apprise, which knows a hundred services."""
    env_file: str | None = None
    """A file of lines `NAME=value`, for variables that the environment lacks."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the names of the variables that hold what is not in the spec."""
        webhook, email = self.webhook, self.email
        given = [*self.apprise]
        given += [webhook.url, webhook.secret or ""] if webhook is not None else []
        given += [email.user or "", email.password or ""] if email is not None else []
        names = (variable(text) for text in given)
        return tuple(dict.fromkeys(name for name in names if name is not None))
