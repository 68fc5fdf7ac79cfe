"""``dolambda doctor``: check everything that running tasks needs.

Each check prints its result and, if something is wrong, a hint.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from dolambda.aws.account import Account, translated
from dolambda.cli import options as given
from dolambda.cli.connect import Target, connect
from dolambda.cli.round_trip import NotCheckedError, round_trip
from dolambda.cli.words import in_options
from dolambda.environment.debian import this_architecture
from dolambda.environment.layer import table
from dolambda.environment.stack_match import refuse_mismatch
from dolambda.errors import AccessDeniedError, DolambdaError
from dolambda.provision import policies
from dolambda.provision.deploy import contents_of, names_of
from dolambda.provision.limits import limits_of
from dolambda.provision.tuning import leftovers
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire.task import PYTHON
from dolambda.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Callable

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Finding:
    """The result of one check. ``fine`` is None if nothing was checked. The text explains why."""

    what: str
    fine: bool | None
    found: str


@given.grouped
def doctor(
    where: given.Where,
    sizes: bool = typer.Option(
        False, "--sizes", help="Also resolve the workers' packages, and show the largest."
    ),
    as_json: given.AsJson = False,
) -> None:
    """Check credentials, stack, quotas, versions, and a round trip of one task."""
    try:
        target = connect(**where.given())
    except DolambdaError as error:
        if not sizes:
            raise
        _report([Finding("credentials", False, in_options(str(error))), _sizes()], as_json)
        return
    findings = _findings(target)
    if sizes:
        findings.append(_sizes(target))
    _report(findings, as_json)


def _findings(target: Target) -> list[Finding]:
    account, settings = target.account, target.settings
    findings = [_checked("credentials", lambda: _who(account))]
    findings.append(_checked("stack", lambda: _stack(account, settings)))
    findings.append(_checked("permissions", lambda: _permissions(account, settings)))
    findings.append(_checked("quota", lambda: _quota(account, settings)))
    if findings[1].fine:
        found = Stack.from_account(account, settings)
        findings.append(_checked("versions", lambda: _versions(found)))
        findings.append(_checked("leftovers", lambda: _leftovers(account, settings)))
        findings.append(_checked("round trip", lambda: _round_trip(target)))
    return findings


def _sizes(target: Target | None = None) -> Finding:
    """Return the sizes of the workers' packages, which need no account."""

    def sizes() -> str:
        settings = target.settings if target else Settings.resolve()
        here = target is not None and target.instance is not None
        return "\n".join(table(contents_of(settings, here=here)))

    return _checked("sizes", sizes)


def _report(findings: list[Finding], as_json: bool) -> None:
    """Print all findings. Exit with 1 if one of them is bad."""
    if as_json:
        console.print_json(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = {
                True: "[green]ok  [/green]",
                False: "[red]bad [/red]",
                None: "[yellow]?   [/yellow]",
            }[finding.fine]
            console.print(f"{mark}{finding.what:<14}", end="")
            console.print(finding.found.replace("\n", "\n" + " " * 18), markup=False)
    if any(finding.fine is False for finding in findings):
        raise typer.Exit(1)


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except NotCheckedError as why:
        return Finding(what, None, str(why))
    except DolambdaError as error:
        return Finding(what, False, in_options(str(error)))


def _who(account: Account) -> str:
    with translated():
        arn = account.client("sts").get_caller_identity()["Arn"]
    return f"{arn} in {account.region}"


def _stack(account: Account, settings: Settings) -> str:
    found = Stack.from_account(account, settings)
    found.refuse_stopped()
    return (
        f"{found.name}: Python {found.python}, {found.architecture}, {found.memory} MB, "
        f"{found.timeout} s, bucket {found.bucket}"
    )


def _permissions(account: Account, settings: Settings) -> str:
    """Check permissions by a simulation in IAM, if it is allowed."""
    names = names_of(account, settings)
    with translated():
        arn = account.client("sts").get_caller_identity()["Arn"]
    arn = _policies_holder(account, arn)
    if arn.endswith(":root"):
        return (
            "the account's root user may do everything, which is more than running tasks needs "
            "(`dolambda policy submitter`)"
        )
    results = []
    for role, policy in (
        ("submitting", policies.submitter(names)),
        ("deploying", policies.deployer(names)),
    ):
        try:
            missing = sorted(
                {
                    action
                    for statement in policy["Statement"]
                    for action in _denied(account, arn, statement)
                }
            )
        except DolambdaError as error:
            raise NotCheckedError(
                "cannot check permissions: iam:SimulatePrincipalPolicy was refused "
                f"({str(error).splitlines()[0][:120]}); the round trip shows whether they suffice"
            ) from error
        results.append(
            f"{role}: {'all that is needed' if not missing else 'lacks ' + ', '.join(missing)}"
        )
        if missing and role == "submitting":
            raise DolambdaError(results[0], hint="Attach what `dolambda policy submitter` prints.")
    return "; ".join(results)


def _policies_holder(account: Account, arn: str) -> str:
    """Return the ARN of the role of a session: IAM has policies of users and roles only."""
    found = re.fullmatch(r"(arn:[\w-]+):sts::(\d+):assumed-role/([^/]+)/.+", arn)
    if not found:
        return arn
    try:
        with translated():
            return str(account.client("iam").get_role(RoleName=found[3])["Role"]["Arn"])
    except DolambdaError:  # reading it may be denied; then it probably has no path
        return f"{found[1]}:iam::{found[2]}:role/{found[3]}"


def _denied(account: Account, arn: str, statement: dict[str, Any]) -> list[str]:
    context = [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [values] if isinstance(values, str) else [values[0]],
            "ContextKeyType": "string",
        }
        for tests in statement.get("Condition", {}).values()
        for key, values in tests.items()
    ]
    with translated():
        found = account.client("iam").simulate_principal_policy(
            PolicySourceArn=arn,
            ActionNames=statement["Action"],
            ResourceArns=statement["Resource"],
            ContextEntries=context,
        )
    return [
        result["EvalActionName"]
        for result in found["EvaluationResults"]
        if result["EvalDecision"] != "allowed"
    ]


def _quota(account: Account, settings: Settings) -> str:
    limits = limits_of(account, settings.stack)
    if limits is None:
        raise NotCheckedError(
            "cannot read the account's limits: lambda:GetAccountSettings was refused"
        )
    try:
        stack = Stack.from_account(account, replace(settings, bucket=None))
        usable, workers = stack.reserved or limits.available, stack.workers
    except DolambdaError:  # the check of the stack reports it
        usable, workers = limits.available, 0
    wanted = settings.workers or workers
    if wanted > usable:
        raise DolambdaError(
            f"{count(wanted, 'worker')} at a time are configured, but Lambda runs at most "
            f"{usable:,} (the account has {limits.total:,})",
            hint="Request more: AWS console, Service Quotas, AWS Lambda, Concurrent executions. "
            "Or configure fewer: `dolambda deploy --workers`.",
        )
    return (
        f"{usable:,} of {limits.total:,} concurrent executions are usable, for "
        f"{count(wanted, 'worker')}"
    )


def _versions(found: Stack) -> str:
    refuse_mismatch(found)
    note = (
        ""
        if found.architecture == this_architecture()
        else f"; workers are {found.architecture}, this machine is {this_architecture()}"
    )
    return (
        f"Python {PYTHON}, dolambda and {count(len(found.requires), 'required package')} are "
        f"the same locally and on the workers{note}"
    )


def _leftovers(account: Account, settings: Settings) -> str:
    """Look for functions of a tune that was killed, or is running."""
    try:
        left = leftovers(account.client("lambda"), names_of(account, settings))
    except AccessDeniedError as error:
        raise NotCheckedError(
            "cannot look for functions that `dolambda tune` left: lambda:ListFunctions was refused"
        ) from error
    if left:
        raise DolambdaError(
            f"{count(len(left), 'function')} of `dolambda tune`: {listing(left)}; idle, they cost "
            "nothing",
            hint="If no tune is running, `dolambda tune --clean` removes them.",
        )
    return "no functions of a killed `dolambda tune`"


def _round_trip(target: Target) -> str:
    return str(round_trip(target.settings, target.credentials, tasks=2))
