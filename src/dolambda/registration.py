"""``register``: run Parallel, executors and %dopar% on Lambda from now on.

**Input:** the place of the workers. **Output:** a `Session`, current for this process until
`unregister`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from dolambda import joblib
from dolambda.aws.account import Credentials
from dolambda.current_session import default_session, replace_current
from dolambda.errors import ConfigurationError
from dolambda.loops.backends import OnLambda
from dolambda.loops.chosen_backend import register_backend
from dolambda.options import Env
from dolambda.session import Session
from dolambda.settings import OtherSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dolambda.scheduler.report import Report

LOCAL = "local"

_restore_joblib: Callable[[], None] | None = None
"""Function that undoes the change to joblib, which has one default backend for the process."""


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
    **settings: Unpack[OtherSettings],
) -> Session:
    """Make Lambda the backend of joblib, executors and foreach.

    Args:
        where: "local" for AWS emulated on this machine, or the name of a stack. Default: the stack
            that settings and credentials lead to, or "local" if no credentials are found.
        bucket: Bucket of the stack, if it is not the one that `dolambda deploy` created.
        key: AWS access key. Default: the credentials of `aws configure`.
        secret: Secret of the access key.
        region: AWS region. Default: that of the credentials.
        throttle: Longest pause between two polls for replies, in seconds.
        token: Session token of temporary credentials.
        profile: AWS profile.
        session: A boto3 session, instead of credentials and region.
        endpoint_url: URL of AWS, if it is not Amazon's.
        stack: Name of the stack, the same as ``where``.
        workers: Largest number of workers at a time.
        requires: Packages of the local stack's workers, such as "scikit-learn". Default: all that
            are installed. On AWS, `dolambda deploy` decides.
        progress: True or False to show a progress bar or not, or a function that is called with
            each `Report`. Default: show one on a terminal and in a notebook.
        env: Environment variables of tasks.
        **settings: Any other setting, see `Settings`.

    Returns:
        The session. Use it as a context manager to close it.

    Raises:
        ConfigurationError: An argument or setting is wrong, or the stack differs from this
            environment.
        NotDeployedError: No stack of that name exists in the region.
        StackStoppedError: `dolambda panic` has stopped the stack.
        LocalAwsError: The emulated AWS could not be started.

    Example:
        >>> with dolambda.register(transport="in_process"):  # or "local", or on AWS
        ...     Parallel(n_jobs=-1)(delayed(abs)(i) for i in range(-3, 0))
        [3, 2, 1]
    """
    _check(where, session, {"key": key, "secret": secret, "token": token})
    variables = Env.from_mapping(env or {})
    local = where == LOCAL
    if where and not local:
        if stack not in (None, where):
            raise ConfigurationError(
                f"two stacks were named: {where!r} and stack={stack!r}",
                hint="Use only one of them.",
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


# The parameter `progress` is that of `register`.
def register_session(opened: Session, progress: bool | Callable[[Report], None] | None) -> Session:  # noqa: FBT001
    """Make an open session the backend of joblib, executors and foreach.

    Args:
        opened: The session.
        progress: As in `register`.

    Returns:
        The session.
    """
    replace_current(opened)
    opened.progress = progress
    global _restore_joblib  # noqa: PLW0603 - there is one default joblib backend
    _restore_joblib = _restore_joblib or joblib.make_default()
    register_backend(OnLambda())
    return opened


def _check(where: object, session: object, secrets: Mapping[str, object]) -> None:
    """Raise `ConfigurationError` for values that cannot be a stack or credentials."""
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
    """Restore the backend that `register` replaced.

    Cancels running tasks, and ends the emulated AWS if `register` started it.

    Example:
        >>> session = dolambda.register(transport="in_process")
        >>> dolambda.unregister()
        >>> session
        <dolambda: this process, 1 worker, closed>
    """
    global _restore_joblib  # noqa: PLW0603 - joblib has one default backend
    if _restore_joblib:
        _restore_joblib()
        _restore_joblib = None
    register_backend(None)
    replace_current(None)
