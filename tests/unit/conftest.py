"""What the tests of requests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.http_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()
