"""Telling people what came out of an audit, where they asked for it."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.notify_spec import NotifySpec
from auditor.core.text import clean_text
from auditor.notify.mail import mail
from auditor.notify.news import News, is_worth_telling, news_of
from auditor.notify.services import tell_services
from auditor.notify.variables import variables
from auditor.notify.webhook import call_webhook

__all__ = ["News", "news_of", "tell"]


def tell(
    notify: NotifySpec, news: News, base: Path, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Send news where a spec says, if they are worth telling; return what went wrong.

    `base` is the folder of the spec. Whatever goes wrong on one way costs none of the others, and
    no problem holds a secret.
    """
    if not is_worth_telling(notify.on, news):
        return ()
    problems: list[str] = []
    try:
        known = variables(notify, base, environment)
    except InputError as error:
        problems.append(str(error))
        known = environment
    for name, send in _ways(notify):
        try:
            send(news, known)
        except InputError as error:
            problems.append(f"notify.{name}: {error}")
        except Exception as error:  # noqa: BLE001 - no way of telling may cost the audit
            # What an unknown error says may hold an address that is a secret.
            problems.append(f"notify.{name}: not sent: {clean_text(type(error).__name__)}")
    return tuple(problems)


def _ways(notify: NotifySpec) -> Iterator[tuple[str, Callable[[News, Mapping[str, str]], None]]]:
    """Yield the ways that a spec names."""
    if notify.webhook is not None:
        yield "webhook", partial(call_webhook, notify.webhook)
    if notify.email is not None:
        yield "email", partial(mail, notify.email)
    if notify.apprise:
        yield "apprise", partial(tell_services, notify.apprise)
