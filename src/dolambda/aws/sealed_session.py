"""A boto3 session that reads no environment variable and no file of the user.

**Input:** a key, its secret, a region. **Output:** a session for AWS emulated on this machine. The
user's configuration for AWS itself, right or wrong, has no influence on it.
"""

from __future__ import annotations

from typing import Any

import boto3
import botocore.session
from botocore.configprovider import (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    ConfigChainFactory,
    ConfigValueStore,
)
from botocore.loaders import Loader

from dolambda.aws.models import share_models


class _Sealed(botocore.session.Session):  # type: ignore[misc] # botocore has no types
    """A botocore session whose configuration files are empty."""

    @property
    def full_config(self) -> dict[str, Any]:
        """Content of empty files."""
        return {"profiles": {}}

    def get_scoped_config(self) -> dict[str, Any]:
        """Return the content of an empty profile."""
        return {}


def sealed_session(key: str, secret: str, region: str) -> boto3.Session:
    """Return a boto3 session that knows only key, secret and region."""
    core = _Sealed()
    chains = ConfigChainFactory(session=core, environ={})
    core.register_component(
        "config_store",
        ConfigValueStore(
            mapping={
                name: chains.create_config_chain(
                    instance_name=name, default=default, conversion_func=convert
                )
                for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
            }
        ),
    )
    core.register_component(
        "data_loader",  # without the models in ~/.aws/models
        Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False),
    )
    share_models(core)
    return boto3.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=region,
        botocore_session=core,
    )
