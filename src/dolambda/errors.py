"""Every exception that dolambda raises.

    DolambdaError
     |-- ConfigurationError (ValueError)   an argument or setting is wrong; nothing was sent
     |    `-- PythonMismatchError          ... the stack runs another Python than this one
     |-- NotPicklableError (TypeError)     a task's function, argument or result cannot be pickled
     |-- TooLargeError (ValueError)        a task's arguments, its result or its code are too large
     |-- BudgetError                       the rest of a run's budget does not cover one more job
     |-- QuotedError (SystemExit)          only a sample was run, to estimate the cost of the rest
     |-- NotDeployedError                  there is no such stack
     |-- StackStoppedError                 `dolambda panic` has stopped the stack
     |-- AwsError                          AWS answered with an error
     |    |-- AccessDeniedError            ... because the credentials lack a permission
     |    `-- ThrottledError               ... because too much was asked too fast, even after waiting
     |-- ProvisionError                    deploy or destroy could not continue
     |-- LocalAwsError                     the emulated AWS could not be started or has gone
     |-- EnvelopeError                     bytes that are not our job or reply; never unpickled
     |    |-- SignatureError               ... not signed with this stack's key
     |    `-- FormatError                  ... written by an incompatible dolambda
     |-- RemoteError                       a task's exception that could not be pickled
     |    `-- TaskExitedError              ... or would end this program: SystemExit, KeyboardInterrupt
     |-- TaskError                         foreach, errors="stop": the first failing task, by index
     |-- CombineError                      foreach: the combine function raised
     `-- LostError                         a task was sent and has no outcome of its own
          |-- WorkerCrashedError           its process ended: exit code, or signal
          |    `-- OutOfMemoryError             ... because it used more memory than the worker has
          |-- TaskTimedOutError (TimeoutError)   it ran past its time limit
          |-- JobRefusedError              the worker would not run it: signature, format, Python version
          `-- NoReplyError                 no reply came by the deadline, after every resend

A task's own exception is none of these: it is raised as itself, with the remote traceback as its
``__cause__`` (a `RemoteTraceback`). Every message says what is wrong and, after a line break, what
to do.
"""

from __future__ import annotations


class DolambdaError(Exception):
    """Base of all errors raised by dolambda itself."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """``message`` says what is wrong and names the culprit; ``hint`` says what to do."""
        super().__init__(f"{message}\n  {hint}" if hint else message)


class ConfigurationError(DolambdaError, ValueError):
    """An argument, environment variable or pyproject setting is wrong."""


class PythonMismatchError(ConfigurationError):
    """The stack runs another minor version of Python, and functions only load in the version that wrote them."""


class NotPicklableError(DolambdaError, TypeError):
    """A function, argument or result cannot be pickled; the message names the part that cannot."""


class TooLargeError(DolambdaError, ValueError):
    """Something exceeds a worker's memory, its disk, or the size of one object in S3."""


class BudgetError(DolambdaError):
    """The rest of a run's budget does not cover another job's worst case; the task was not sent."""


class QuotedError(DolambdaError, SystemExit):
    """A task was not sent, as its run was only to be quoted, or the quote was declined.

    It was the user's own choice, so a program that does not catch it ends without a traceback, with
    exit status 0.
    """


class NotDeployedError(DolambdaError):
    """No stack of that name exists in that account and region."""


class StackStoppedError(DolambdaError):
    """The stack's function may not run: its reserved concurrency is 0, as `dolambda panic` sets it."""


class AwsError(DolambdaError):
    """AWS answered a request with an error."""


class AccessDeniedError(AwsError):
    """The credentials in use lack a permission."""


class ThrottledError(AwsError):
    """AWS still refused a request as too frequent, after it had been repeated for minutes."""


class ProvisionError(DolambdaError):
    """A stack could not be deployed or destroyed."""


class LocalAwsError(DolambdaError):
    """AWS emulated on this machine could not be started, or has gone away."""


class EnvelopeError(DolambdaError):
    """Bytes that should be a job or a reply are not."""


class SignatureError(EnvelopeError):
    """An envelope is not signed with this stack's key."""


class FormatError(EnvelopeError):
    """An envelope was written by an incompatible version of dolambda."""


class RemoteError(DolambdaError):
    """A task raised an exception that cannot be pickled or un-pickled: its type, text and traceback."""


class TaskExitedError(RemoteError):
    """A task called sys.exit, or raised KeyboardInterrupt, GeneratorExit or asyncio's CancelledError.

    Attributes:
        interrupted: Whether it was KeyboardInterrupt. `joblib.Parallel` then raises that.
    """

    interrupted = False


class TaskError(DolambdaError):
    """A foreach task failed under ``errors="stop"``; the task's own exception is the ``__cause__``."""

    index: tuple[int, ...] = ()


class CombineError(DolambdaError):
    """A foreach combine function raised; its exception is the ``__cause__``."""


class LostError(DolambdaError):
    """A task was sent and has no outcome of its own."""


class WorkerCrashedError(LostError):
    """The process that ran the task ended."""


class OutOfMemoryError(WorkerCrashedError):
    """The task used more memory than the worker has; the message says how much of each."""


class TaskTimedOutError(LostError, TimeoutError):
    """The task ran past its time limit."""


class JobRefusedError(LostError):
    """The worker would not run the job."""


class NoReplyError(LostError):
    """No reply came by the deadline."""


# Shown as a cause, never raised; concurrent.futures calls its own `_RemoteTraceback`.
class RemoteTraceback(Exception):  # noqa: N818
    """The traceback of a task, as text: the ``__cause__`` of the exception the user sees."""

    def __init__(self, text: str) -> None:
        """``text`` is what `traceback.format_exception` returned on the worker."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Set off from the local traceback by a line of quotes, as concurrent.futures does."""
        return f'\n"""\n{self.text}"""'
