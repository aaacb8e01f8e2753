"""The page at "/": one file, which loads nothing and sends nothing anywhere else.

The browser is told so (Content-Security-Policy): it runs the one script and the one style sheet whose hashes it knows,
so a script within a prompt, or within what a model writes, could not run even if the page showed it as HTML.
"""

import base64
import functools
import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

PAGE = Path(__file__).with_name("page.html")


def hash_of(html: str, tag: str) -> str:
    """The hash of what stands in the only <tag> of a page, as a policy names it."""
    content = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


@functools.cache
def read_page() -> tuple[bytes, dict[str, str]]:
    """The page and its headers."""
    html = PAGE.read_text(encoding="utf-8")  # with plain line ends on every system: hashes count them
    policy = (
        f"default-src 'none'; script-src {hash_of(html, 'script')}; style-src {hash_of(html, 'style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"content-security-policy": policy, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
    return html.encode(), headers | {"cache-control": "no-cache"}


async def show_page(request: Request) -> Response:
    html, headers = read_page()
    return Response(html, headers=headers, media_type="text/html")
