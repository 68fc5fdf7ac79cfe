"""Emergency stop of a stack, and its reversal.

    begin     remember, then: reserved concurrency 0, the trigger off, the queue emptied
    undo      the trigger on, the reserved concurrency as before, forget

The previous state is remembered before anything is changed, in a tag of the function. Any client
finds it there, and a second `begin` does not change it. Each step first checks the present state,
so both can be killed anywhere and run again. A stack in panic is not deployed to, see `NotInPanic`.

**Input:** an account and a stack's name. **Output:** the result of each step, reported when it is
done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import AwsError, ProvisionError
from dolambda.provision.names import Names
from dolambda.provision.trigger import Trigger
from dolambda.stack import find_function, reserved_concurrency
from dolambda.wire import signing_keys
from dolambda.wire.keys import JOBS, OUTS, lease_key, parse_job_key
from dolambda.wire.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.provision.plan import Change

MARK = "dolambda:panic"
"""The tag that remembers. A tag's value has no braces or quotes: "reserved=200 trigger=on"."""

_REMEMBERED = re.compile(r"reserved=(none|\d+) trigger=(on|off)\Z")


@dataclass(frozen=True)
class Before:
    """The state before the panic.

    It contains the function's reserved concurrency, if any, and whether the bucket triggered it.
    """

    reserved: int | None
    trigger: bool

    def to_tag(self) -> str:
        """Return the tag's value."""
        return (
            f"reserved={'none' if self.reserved is None else self.reserved} "
            f"trigger={'on' if self.trigger else 'off'}"
        )

    @classmethod
    def from_tag(cls, value: str) -> Before:
        """Return the state in a tag's value.

        Raises:
            ProvisionError: dolambda did not write this value.
        """
        found = _REMEMBERED.match(value)
        if not found:
            raise ProvisionError(
                f"the function's tag {MARK} is {value!r}, which dolambda did not write",
                hint=f'Set it to a value such as "{cls(None, trigger=True).to_tag()}", or remove '
                "it "
                "and deploy.",
            )
        return cls(None if found[1] == "none" else int(found[1]), found[2] == "on")


class Panic:
    """The emergency stop of one stack."""

    def __init__(self, account: Account, stack: str) -> None:
        """Find the stack, for any version of Python and dolambda.

        Raises:
            NotDeployedError: There is no such stack.
        """
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        found = find_function(
            self._lambda, account.region, stack, "Use stack= or region= of a deployed one."
        )
        self.timeout: int = found["Timeout"]
        """Seconds that a running invocation takes at most."""
        self._key = bytes.fromhex(found["Environment"]["Variables"].get(signing_keys.KEY, ""))
        self._names = Names.of(
            stack,
            account.region,
            account.number,
            found["Environment"]["Variables"]["DOLAMBDA_BUCKET"],
        )
        self._trigger = Trigger(account, self._names)

    def begin(self, tell: Callable[[str], None] = lambda _: None) -> int:
        """Stop the stack. Return the number of jobs removed."""
        reserved = reserved_concurrency(self._lambda, self._names.stack)
        on = self._trigger.removal()
        try:
            if self._remembered() is None:
                self._remember(Before(reserved, bool(on)))
        except ProvisionError as damaged:  # stopping comes first; undoing reports it again
            tell(str(damaged))
        if reserved == 0:
            tell("reserved concurrency is already 0: Lambda begins no invocation")
        else:
            self._reserve(0)
            tell(
                f"reserved concurrency set from {_shown(reserved)} to 0: Lambda begins no "
                "more invocations"
            )
        for change in on:
            change.apply()
        tell(
            f"trigger removed: objects under {JOBS} invoke nothing"
            if on
            else "trigger is already off"
        )
        removed = self._empty(tell)
        tell(f"{removed} jobs removed from the queue; replies under {OUTS} stay")
        return removed

    def undo(self, tell: Callable[[str], None] = lambda _: None) -> bool:
        """Restore the state before the panic.

        Return False, and change nothing, if the stack is not in panic.
        """
        before = self._remembered()
        if before is None:
            return False
        if before.trigger:
            for change in self._trigger.changes():
                change.apply()
        tell(
            f"trigger on: objects created under {JOBS} invoke the function"
            if before.trigger
            else "trigger stays off, as it was before"
        )
        self._reserve(before.reserved)
        tell(f"reserved concurrency restored to {_shown(before.reserved)}")
        with translated():
            self._lambda.untag_resource(Resource=self._names.function_arn, TagKeys=[MARK])
        return True

    @property
    def reserved(self) -> int | None:
        """The function's current reserved concurrency."""
        return reserved_concurrency(self._lambda, self._names.stack)

    def _remembered(self) -> Before | None:
        return remembered(self._lambda, self._names)

    def _remember(self, before: Before) -> None:
        with translated():
            self._lambda.tag_resource(
                Resource=self._names.function_arn, Tags={MARK: before.to_tag()}
            )

    def _reserve(self, wanted: int | None) -> None:
        with translated():
            if wanted is None:
                self._lambda.delete_function_concurrency(FunctionName=self._names.stack)
            else:
                self._lambda.put_function_concurrency(
                    FunctionName=self._names.stack, ReservedConcurrentExecutions=wanted
                )

    def _stop_workers(self, jobs: list[str], tell: Callable[[str], None]) -> None:
        """Withdraw jobs, some of which may be running, by their leases."""
        runs: dict[str, list[int]] = {}
        for place in filter(None, map(parse_job_key, jobs)):
            runs.setdefault(place[0], []).append(place[1])
        try:
            with translated():
                for run, numbers in runs.items():
                    lease = Lease.from_numbers(run, range(min(numbers), max(numbers) + 1))
                    self._s3.put_object(
                        **self._names.owned_bucket,
                        Key=lease_key(run),
                        Body=lease.to_bytes(self._key),
                    )
        except AwsError as error:  # stopping comes first: running tasks then run to their end
            tell(f"running tasks could not be stopped: {error}")

    def _empty(self, tell: Callable[[str], None]) -> int:
        removed = 0
        with translated():
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                **self._names.owned_bucket, Prefix=JOBS
            ):
                jobs = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
                if not jobs:
                    continue
                self._stop_workers([job["Key"] for job in jobs], tell)
                failed = self._s3.delete_objects(
                    **self._names.owned_bucket, Delete={"Objects": jobs, "Quiet": True}
                ).get("Errors", [])
                if failed:
                    raise ProvisionError(
                        f"{len(failed)} jobs could not be removed, the first, {failed[0]['Key']}, "
                        f"because of {failed[0].get('Code')}",
                        hint="Nothing runs them any more. `dolambda panic` tries again. They "
                        "expire after a day.",
                    )
                removed += len(jobs)
        return removed


class NotInPanic:
    """Check that a stack is not in panic. See `Resource`.

    A deploy would start it again, so it is refused before anything is changed.
    """

    def __init__(self, account: Account, names: Names) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._names = names

    def changes(self) -> list[Change]:
        """See `Resource.changes`.

        Raises:
            ProvisionError: The stack is in panic.
        """
        if remembered(self._lambda, self._names):
            raise ProvisionError(
                f"the stack {self._names.stack!r} was stopped by `dolambda panic`; deploying "
                "would start it again",
                hint="Run `dolambda panic --undo` first, or `dolambda destroy`.",
            )
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`. The tag is removed with the function."""
        return []


def remembered(client: Any, names: Names) -> Before | None:
    """Return the state before the panic that the stack is in.

    Return None if it is in none, or not deployed.
    """
    with translated():
        try:
            tags = client.list_tags(Resource=names.function_arn)["Tags"]
        except client.exceptions.ResourceNotFoundException:
            return None
    return Before.from_tag(tags[MARK]) if MARK in tags else None


def _shown(reserved: int | None) -> str:
    return "none" if reserved is None else str(reserved)
