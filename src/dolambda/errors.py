"""All exceptions that dolambda raises.

    DolambdaError
     |-- ConfigurationError (ValueError)   an argument or setting is wrong; nothing was sent
     |    `-- PythonMismatchError          ... the stack runs another Python than this one
     |-- NotPicklableError (TypeError)     a task's function, argument or result cannot be pickled
     |-- TooLargeError (ValueError)        a task's arguments, its result or its code are too large
     |-- BudgetError                       the rest of a run's budget does not cover one more job
     |-- QuotedError (SystemExit)          only a sample was run, to estimate the cost of the rest
     |-- NotDeployedError                  there is no such stack
     |-- StackStoppedError                 `dolambda panic` has stopped the stack
     |-- RunTakenOverError                 another program began this named run again
     |-- AwsError                          AWS returned an error
     |    |-- AccessDeniedError            ... because the credentials lack a permission
     |    `-- ThrottledError               ... because requests were too frequent, even after waits
     |-- ProvisionError                    deploy or destroy could not continue
     |-- LocalAwsError                     the emulated AWS could not be started or has ended
     |-- EnvelopeError                     bytes that are not a job or reply; never unpickled
     |    |-- SignatureError               ... not signed with this stack's key
     |    `-- FormatError                  ... written by an incompatible dolambda
     |-- RemoteError                       a task's exception that could not be pickled
     |    `-- TaskExitedError              ... or would end this program, such as SystemExit
     |-- TaskError                         foreach, errors="stop": the first failed task, by index
     |-- CombineError                      foreach: the combine function raised an exception
     `-- LostError                         a task was sent and has no outcome of its own
          |-- WorkerCrashedError           its process ended: exit code, or signal
          |    `-- OutOfMemoryError             ... because it used more memory than the worker has
          |-- TaskTimedOutError (TimeoutError)   it exceeded its time limit
          |-- JobRefusedError              the worker refused it: signature, format, or Python
          `-- NoReplyError                 no reply came by the deadline, after all attempts

A task's own exception is none of these. It is raised as itself, with the remote traceback as its
``__cause__`` (a `RemoteTraceback`). Every message says what is wrong and, after a line break, what
to do.
"""

from __future__ import annotations


class DolambdaError(Exception):
    """Base of all errors that dolambda itself raises."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Create the error.

        Args:
            message: What is wrong, with the offending value.
            hint: What to do.
        """
        super().__init__(f"{message}\n  {hint}" if hint else message)


class ConfigurationError(DolambdaError, ValueError):
    """An argument, environment variable or pyproject setting is wrong."""


class PythonMismatchError(ConfigurationError):
    """The stack runs another minor version of Python than this program.

    Functions load only in the version that pickled them.
    """


class NotPicklableError(DolambdaError, TypeError):
    """A function, argument or result cannot be pickled. The message names the part that cannot."""


class TooLargeError(DolambdaError, ValueError):
    """Something exceeds a worker's memory, its disk, or the size of one object in S3."""


class BudgetError(DolambdaError):
    """The rest of a run's budget does not cover another job's worst case. The task was not sent."""


class QuotedError(DolambdaError, SystemExit):
    """A task was not sent, because its run was only quoted, or the quote was declined.

    It was the user's own choice, so a program that does not catch it ends without a traceback, with
    exit status 0.
    """

    code = 0  # since Python 3.14 it would be the message


class NotDeployedError(DolambdaError):
    """No stack of that name exists in the account and region."""


class StackStoppedError(DolambdaError):
    """The stack's function cannot run: its reserved concurrency is 0, set by `dolambda panic`."""


class RunTakenOverError(DolambdaError):
    """Another program began this named run again, or a command cancelled or cleaned it."""


class AwsError(DolambdaError):
    """AWS returned an error."""


class AccessDeniedError(AwsError):
    """The credentials in use lack a permission."""


class ThrottledError(AwsError):
    """AWS still refused a request as too frequent, after it was repeated for minutes."""


class ProvisionError(DolambdaError):
    """A stack could not be deployed or destroyed."""


class LocalAwsError(DolambdaError):
    """AWS emulated on this machine could not be started, or has ended."""


class EnvelopeError(DolambdaError):
    """Bytes in the place of a job or a reply are something else."""


class SignatureError(EnvelopeError):
    """An envelope is not signed with this stack's key."""


class FormatError(EnvelopeError):
    """An envelope was written by an incompatible version of dolambda."""


class RemoteError(DolambdaError):
    """A task raised an exception that cannot be pickled or unpickled.

    It contains the exception's type, text and traceback.
    """


class TaskExitedError(RemoteError):
    """A task raised an exception that ends programs, for example by calling sys.exit.

    These are SystemExit, KeyboardInterrupt, GeneratorExit and asyncio's CancelledError.

    Attributes:
        interrupted: True for KeyboardInterrupt. `joblib.Parallel` then raises that.
    """

    interrupted = False


class TaskError(DolambdaError):
    """A foreach task failed under ``errors="stop"``. Its own exception is the ``__cause__``."""

    index: tuple[int, ...] = ()


class CombineError(DolambdaError):
    """A foreach combine function raised an exception, which is the ``__cause__``."""


class LostError(DolambdaError):
    """A task was sent and has no outcome of its own."""


class WorkerCrashedError(LostError):
    """The process that ran the task ended."""


class OutOfMemoryError(WorkerCrashedError):
    """The task used more memory than the worker has. The message contains both amounts."""


class TaskTimedOutError(LostError, TimeoutError):
    """The task exceeded its time limit."""


class JobRefusedError(LostError):
    """The worker refused the job."""


class NoReplyError(LostError):
    """No reply arrived by the deadline."""


# Shown as a cause, never raised. concurrent.futures calls its own `_RemoteTraceback`.
class RemoteTraceback(Exception):  # noqa: N818
    """The traceback of a task, as text: the ``__cause__`` of the exception that the user sees."""

    def __init__(self, text: str) -> None:
        """Create the cause.

        ``text`` is the result of `traceback.format_exception` on the worker.
        """
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the text between quotes, which separate it from the local traceback.

        concurrent.futures has the same form.
        """
        return f'\n"""\n{self.text}"""'
