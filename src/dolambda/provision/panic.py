"""Stop a stack that runs away, and put back what was there before.

    begin     remember, then: reserved concurrency 0; the trigger off; the queue emptied
    undo      the trigger on; the reserved concurrency as it was; forget

What was there is remembered before anything is changed, in a tag of the function: there any client
finds it, and a second `begin` leaves it alone. Each step looks first at what is there, so both can
be killed anywhere and run again. On entry: an account and a stack's name; on leaving: what each
step did, told as it is done. A stack in panic is not deployed to: see `NotInPanic`.
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
    """What there was before the panic: the function's reserved concurrency or none, and whether the bucket triggered it."""

    reserved: int | None
    trigger: bool

    def to_tag(self) -> str:
        """As the tag's value."""
        return (
            f"reserved={'none' if self.reserved is None else self.reserved} "
            f"trigger={'on' if self.trigger else 'off'}"
        )

    @classmethod
    def from_tag(cls, value: str) -> Before:
        """From the tag's value. Raises `ProvisionError` for one that we did not write."""
        found = _REMEMBERED.match(value)
        if not found:
            raise ProvisionError(
                f"the function's tag {MARK} says {value!r}, which dolambda did not write",
                hint=f'Give it a value such as "{cls(None, trigger=True).to_tag()}", or remove it '
                "and deploy.",
            )
        return cls(None if found[1] == "none" else int(found[1]), found[2] == "on")


class Panic:
    """The stop of one stack."""

    def __init__(self, account: Account, stack: str) -> None:
        """Find the stack, whatever Python or dolambda it runs. Raises `NotDeployedError`."""
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        found = find_function(
            self._lambda, account.region, stack, "Give stack= or region= of one that stands."
        )
        self.timeout: int = found["Timeout"]
        """Seconds that an invocation under way runs at most."""
        self._key = bytes.fromhex(found["Environment"]["Variables"].get(signing_keys.KEY, ""))
        self._names = Names.of(
            stack,
            account.region,
            account.number,
            found["Environment"]["Variables"]["DOLAMBDA_BUCKET"],
        )
        self._trigger = Trigger(account, self._names)

    def begin(self, tell: Callable[[str], None] = lambda _: None) -> int:
        """Stop the stack; give the number of jobs removed."""
        reserved = reserved_concurrency(self._lambda, self._names.stack)
        on = self._trigger.removal()
        try:
            if self._remembered() is None:
                self._remember(Before(reserved, bool(on)))
        except ProvisionError as damaged:  # stopping comes first; undoing will say it again
            tell(str(damaged))
        if reserved == 0:
            tell("reserved concurrency is 0 already: Lambda begins no invocation")
        else:
            self._reserve(0)
            tell(
                f"reserved concurrency set from {_shown(reserved)} to 0: Lambda begins no "
                "invocation any more"
            )
        for change in on:
            change.apply()
        tell(
            f"trigger removed: objects under {JOBS} invoke nothing"
            if on
            else "trigger is off already"
        )
        removed = self._empty(tell)
        tell(f"{removed} jobs removed from the queue; answers under {OUTS} stay")
        return removed

    def undo(self, tell: Callable[[str], None] = lambda _: None) -> bool:
        """Put back what was there before; False when the stack is not in panic, and then nothing is changed."""
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
        tell(f"reserved concurrency set back to {_shown(before.reserved)}")
        with translated():
            self._lambda.untag_resource(Resource=self._names.function_arn, TagKeys=[MARK])
        return True

    @property
    def reserved(self) -> int | None:
        """The function's reserved concurrency now."""
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
        """Withdraw the leases of jobs, some of which may be running."""
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
        except AwsError as error:  # stopping comes first: what runs then runs to its end
            tell(f"tasks that run could not be told to stop: {error}")

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
                        hint="Nothing runs them any more; `dolambda panic` tries again. They "
                        "expire after a day.",
                    )
                removed += len(jobs)
        return removed


class NotInPanic:
    """See `Resource`: a deploy would start again what somebody has stopped, so it is refused before anything is changed."""

    def __init__(self, account: Account, names: Names) -> None:
        """Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._names = names

    def changes(self) -> list[Change]:
        """See `Resource.changes`. Raises `ProvisionError` for a stack in panic."""
        if remembered(self._lambda, self._names):
            raise ProvisionError(
                f"the stack {self._names.stack!r} was stopped by `dolambda panic`; deploying "
                "would start it again",
                hint="Run `dolambda panic --undo` first, or `dolambda destroy`.",
            )
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`: the tag goes with the function."""
        return []


def remembered(client: Any, names: Names) -> Before | None:
    """What there was before the panic that the stack is in; None when it is in none, or does not stand."""
    with translated():
        try:
            tags = client.list_tags(Resource=names.function_arn)["Tags"]
        except client.exceptions.ResourceNotFoundException:
            return None
    return Before.from_tag(tags[MARK]) if MARK in tags else None


def _shown(reserved: int | None) -> str:
    return "none" if reserved is None else str(reserved)
