"""A strict AWS: what AWS refuses and an emulator accepts, one rule a function.

**Input:** requests as (service, operation, parameters), in boto3's words. **Output:** AWS's refusal
in its own text, or None for what the emulator underneath is to answer.

    base.py        Request, Response, World, the registry of rules
    rules/         the rules; each has AWS's text and its source in its docstring
    in_process.py  puts them before every request that a boto3 session makes

The rules know neither boto3's hooks nor HTTP: a gateway in front of an emulator asks the same ones.
"""

from support.strict_aws import rules as _rules  # noqa: F401 - they register themselves
from support.strict_aws.base import Options, Request, Response, StrictAws, World
from support.strict_aws.in_process import before

__all__ = ["Options", "Request", "Response", "StrictAws", "World", "before"]
