"""``register``: from here on, Parallel, executors and %dopar% run on Lambda.

On entry: where the workers are. On leaving: a `Session`, current for this process; and back with `unregister`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda import joblib
from dolambda.aws.account import Credentials
from dolambda.errors import ConfigurationError
from dolambda.loops.backends import OnLambda, register_backend
from dolambda.options import Env
from dolambda.session import Session, default_session, peek, replace_current
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dolambda.scheduler.report import Report

LOCAL = "local"

_restore_joblib: Callable[[], None] | None = None


def register(
    where: str | None = None,
    *,
    bucket: str | None = None,
    key: str | None = None,
    secret: str | None = None,
    region: str | None = None,
    throttle: float | None = None,
    token: str | None = None,
    profile: str | None = None,
    session: Any = None,
    endpoint_url: str | None = None,
    stack: str | None = None,
    workers: int | None = None,
    requires: Iterable[str] | None = None,
    progress: bool | Callable[[Report], None] | None = None,
    env: Mapping[str, str] | None = None,
    **settings: Any,
) -> Session:
    """Make Lambda the backend of joblib, executors and foreach; give the session, which is also a context manager.

    ``where`` is "local" for AWS emulated on this machine, else the name of a stack (the same as ``stack=``). With neither, the
    stack that settings and credentials lead to; with no credentials at all, the emulated AWS.

    ``bucket``, ``key``, ``secret``, ``region`` and ``throttle`` are registerDoLambda's: the queue, credentials, and the longest
    pause in seconds between two looks for replies. ``session`` is a boto3 session; ``token`` goes with temporary keys.
    ``requires`` lists what the local stack's layer holds ("scikit-learn"); on AWS that is `dolambda deploy`'s. ``progress`` is
    True or False to show a bar or not, None for one on a terminal or in a notebook, or a function to call with each `Report`
    instead. ``env`` are environment variables of tasks. ``settings`` are any others of `Settings`.

    Raises `ConfigurationError` for what cannot work, `NotDeployedError` when there is no such stack.
    """
    _check(where, session, {"key": key, "secret": secret, "token": token})
    variables = Env.from_mapping(env or {})
    local = where == LOCAL
    if where and not local:
        if stack not in (None, where):
            raise ConfigurationError(
                f"two stacks were named: {where!r} and stack={stack!r}", hint="Name one."
            )
        stack = where
    resolved = Settings.resolve(
        bucket=bucket,
        region=region,
        throttle=throttle,
        profile=profile,
        endpoint_url=endpoint_url,
        stack=stack,
        workers=workers,
        requires=requires,
        progress=None if callable(progress) else progress,
        **settings,
    )
    credentials = Credentials(key, secret, token, session)
    anything = (where, stack, bucket, key, region, profile, session, endpoint_url)
    opened = (
        Session.open(resolved, credentials, local=local)
        if any(anything)
        else default_session(resolved)
    )
    opened.env = variables
    return register_session(opened, progress if callable(progress) else resolved.progress)


def register_session(opened: Session, progress: bool | Callable[[Report], None] | None) -> Session:  # noqa: FBT001 - as `register` has it
    """Make a session that is open already the backend of joblib, executors and foreach; return it."""
    replace_current(opened)
    opened.progress = progress
    global _restore_joblib  # noqa: PLW0603 - there is one default joblib backend
    _restore_joblib = _restore_joblib or joblib.make_default()
    register_backend(OnLambda())
    return opened


def _check(where: object, session: object, secrets: Mapping[str, object]) -> None:
    """Raise `ConfigurationError` for what cannot be, before it is taken for a stack or credentials."""
    if not (where is None or isinstance(where, str)):
        raise ConfigurationError(
            f"where={where!r} is not text", hint='Write "local", or the name of a stack.'
        )
    if where and where != LOCAL and where.strip().lower() == LOCAL:
        raise ConfigurationError(
            f"where={where!r} is not the name of a stack", hint=f'Did you mean "{LOCAL}"?'
        )
    if not (session is None or callable(getattr(session, "client", None))):
        raise ConfigurationError(
            f"session={session!r} is not a boto3 session",
            hint='Write session=boto3.Session(...), or profile="...".',
        )
    for name, value in secrets.items():
        if not (value is None or isinstance(value, str)):
            raise ConfigurationError(
                f"{name}= is of type {type(value).__name__}, not text",
                hint="Leave it out to use the credentials of `aws configure`.",
            )


def unregister() -> None:
    """Put back what `register` replaced; cancel what still runs; end the emulated AWS if there is one."""
    global _restore_joblib  # noqa: PLW0603 - as above
    if _restore_joblib:
        _restore_joblib()
        _restore_joblib = None
    register_backend(None)
    if peek() is not None:
        replace_current(None)
