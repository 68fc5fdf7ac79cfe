"""What integration tests share: R sessions on the emulated AWS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.r_session import RSession, install_package

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.aws.account import Credentials
    from dolambda.settings import Settings


@pytest.fixture(scope="session")
def r_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that holds the R package."""
    library = tmp_path_factory.mktemp("r-library")
    install_package(library, os.environ)
    return library


@pytest.fixture
def r_session(r_library: Path, deployed: tuple[Settings, Credentials]) -> RSession:
    """Runs R scripts on the emulated AWS."""
    return RSession(r_library, *deployed)
