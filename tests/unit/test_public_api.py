"""The public names are these and no others, and each is documented."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from typing import Any

import pytest

import dolambda

_PUBLIC = {
    "dolambda": [
        "Foreach",
        "LambdaExecutor",
        "Report",
        "Retries",
        "Session",
        "Settings",
        "do",
        "dopar",
        "foreach",
        "get_backend",
        "register",
        "set_backend",
        "times",
        "unregister",
        "when",
    ],
    "dolambda.errors": [
        "AccessDeniedError",
        "AwsError",
        "BudgetError",
        "CombineError",
        "ConfigurationError",
        "DolambdaError",
        "EnvelopeError",
        "FormatError",
        "JobRefusedError",
        "LocalAwsError",
        "LostError",
        "NoReplyError",
        "NotDeployedError",
        "NotPicklableError",
        "OutOfMemoryError",
        "ProvisionError",
        "PythonMismatchError",
        "QuotedError",
        "RemoteError",
        "RemoteTraceback",
        "SignatureError",
        "StackStoppedError",
        "TaskError",
        "TaskExitedError",
        "TaskTimedOutError",
        "ThrottledError",
        "TooLargeError",
        "WorkerCrashedError",
    ],
    "dolambda.iterators": [
        "array_chunks",
    ],
    "dolambda.testing": [
        "dolambda_in_process",
        "dolambda_local",
        "dolambda_settings",
        "dolambda_stack",
    ],
}
