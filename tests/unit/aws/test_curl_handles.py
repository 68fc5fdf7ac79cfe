"""What all requests of libcurl's have in common."""

from __future__ import annotations

import socket
import sys

import pycurl
import pytest

from dolambda.aws.curl_handles import EasyHandle
from support.http_server import account


@pytest.mark.skipif(sys.platform == "darwin", reason="it has no 127.0.0.2")
def test_connections_spread_over_the_addresses_of_a_host() -> None:
    """S3 has eight addresses a host at a time, and asks to use them all."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.2", one.getsockname()[1])),
    ):
        host = f"many.example:{one.getsockname()[1]}"
        used = set()
        for _ in range(40):  # each remembers its own order
            curl = EasyHandle("s3", "GET", account("http://127.0.0.1:1")).curl
            curl.setopt(pycurl.RESOLVE, [f"{host}:127.0.0.1,127.0.0.2"])
            curl.setopt(pycurl.URL, f"http://{host}/")
            curl.setopt(pycurl.CONNECT_ONLY, 1)
            curl.perform()
            used.add(curl.getinfo(pycurl.PRIMARY_IP))
            curl.close()
    assert used == {"127.0.0.1", "127.0.0.2"}
