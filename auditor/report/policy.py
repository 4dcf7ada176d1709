"""What a browser lets one of our pages do: show its own text in its own style, and little else."""

import base64
import hashlib


def policy(style: str, script: str = "") -> str:
    """Return the content-security policy of a page with this style sheet and this script.

    Everything else is refused: requests, other scripts, other styles (those in attributes too),
    frames, forms. Pictures stand in the page itself.
    """
    sources = ["default-src 'none'", f"style-src {_digest(style)}"]
    if script:
        sources.append(f"script-src {_digest(script)}")
    sources += ["img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join(sources)


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
