"""Access to the dashboard: one browser, which was given a link with a token.

Other programs on this machine, including those of other users, can reach 127.0.0.1. So can any page
that a browser shows. So a request needs a secret, and must not come from another site's page.

**Input:** the headers of a request. **Output:** nothing, or the reason for a refusal.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

_SAME_SITE = ("same-origin", "none")


class Access:
    """The secrets of one dashboard. Thread-safe."""

    def __init__(self, port: int) -> None:
        """Create the secrets. The dashboard listens on ``port`` of 127.0.0.1."""
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._cookie_name = f"dolambda-{port}"  # cookies are not specific to ports
        self._cookie = secrets.token_urlsafe(32)
        self._token: str | None = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self.link = f"http://127.0.0.1:{port}/?token={self._token}"

    def refusal(self, headers: Message) -> str | None:
        """Return why a request is refused regardless of its secret, or None.

        A name that another site's owner points at 127.0.0.1 is a wrong Host.
        """
        hosts = headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "this Host is not the dashboard's"
        origins = headers.get_all("Origin", [])
        if origins and origins != [f"http://{hosts[0].lower()}"]:
            return "this Origin is not the dashboard's"
        return None

    def exchange(self, token: str) -> str | None:
        """Return the value of Set-Cookie for the token, once. None for any other text."""
        with self._lock:
            known = self._token is not None and hmac.compare_digest(
                token.encode(), self._token.encode()
            )
            if not known:
                return None
            self._token = None
        return f"{self._cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"

    def knows(self, headers: Message) -> bool:
        """Return whether a request has the cookie and comes from the dashboard's own pages."""
        if headers.get("Sec-Fetch-Site", "none") not in _SAME_SITE:
            return False
        try:
            morsel = SimpleCookie(headers.get("Cookie", "")).get(self._cookie_name)
        except CookieError:  # not written by a browser
            return False
        return morsel is not None and hmac.compare_digest(
            morsel.value.encode(), self._cookie.encode()
        )
