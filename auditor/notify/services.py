"""News to the services that Apprise knows."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from auditor.core.errors import InputError
from auditor.core.notify_spec import variable
from auditor.core.verdict import Verdict
from auditor.notify.news import GOOD, News
from auditor.notify.variables import looked_up
from auditor.notify.wording import as_text, headline


def tell_services(addresses: Sequence[str], news: News, known: Mapping[str, str]) -> None:
    """Send the news to every address; a variable may hold several, with spaces between them.

    Raises:
        InputError: Apprise is not installed, or not everyone was told; no address is named, but
            the variable that holds it.
    """
    try:
        import apprise
    except ImportError as error:
        raise InputError("not sent: needs pip install 'auditor[apprise]'") from error
    kind = {Verdict.FAIL: "failure", Verdict.PASS: "success"}.get(
        news.after, "info" if news.after in GOOD else "warning"
    )
    failed = []
    for address in addresses:
        services = apprise.Apprise()
        with _silent():
            told = services.add(looked_up(address, known).split()) and services.notify(
                as_text(news), title=headline(news), notify_type=kind, body_format="text"
            )
        if not told:
            failed.append(variable(address) or "")
    if failed:
        raise InputError(f"not everyone was told: see the addresses in {', '.join(failed)}")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what Apprise and what it calls log from everyone: they name addresses."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
