"""The proxy that a worker's requests go through, as those of boto3 in its tasks.

**Input:** environment variables, which someone has added to the function. **Output:** a proxy.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_of(environ: Mapping[str, str], host: str) -> SplitResult | None:
    """Return the URL of the proxy for requests to a host over TLS, or None."""
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if not named:
        return None
    import urllib.request  # noqa: PLC0415 - 20 ms, rarely needed

    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    # The types of the standard library lack it.
    if urllib.request.proxy_bypass_environment(host, {"no": excluded}):  # type: ignore[attr-defined]
        return None
    return urlsplit(named if "://" in named else f"http://{named}")


def authorization(proxy: SplitResult) -> dict[str, str]:
    """Return the header for a user and password in a proxy's URL."""
    if not proxy.username:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    encoded = binascii.b2a_base64(user.encode(), newline=False).decode()
    return {"Proxy-Authorization": f"Basic {encoded}"}
