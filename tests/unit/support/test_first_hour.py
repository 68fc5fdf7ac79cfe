"""The first hour on a real account: its cap holds, and its report names nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account, Credentials
from dolambda.errors import DolambdaError
from dolambda.provision.names import Names
from support.first_hour.hour import SETTINGS, Hour, SkippedError, Step
from support.first_hour.ledger import CAP, Ledger, OverCapError
from support.first_hour.redaction import Redactor
from support.first_hour.report import ISSUES
from support.first_hour.steps import STEPS
from support.first_hour.submitters import MOST_CHARACTERS, session_policy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

ACCOUNT = "123456789012"
KEY = "AKIAIOSFODNN7EXAMPLE"


def test_all_steps_at_their_worst_stay_below_the_cap() -> None:
    assert CAP == 0.25
    assert sum(step.worst for step in STEPS) <= CAP


def test_the_audits_order_is_kept() -> None:
    findings = [step.finding for step in STEPS if step.finding]
    assert findings == ["A4, A6", "A3", "A2", "A9", "B12"]


def test_the_ledger_refuses_what_may_exceed_the_cap() -> None:
    ledger = Ledger(cap=0.25)
    ledger.refuse_beyond(0.25)
    ledger.charge(0.2)
    ledger.refuse_beyond(0.04)
    with pytest.raises(OverCapError, match=r"\$0\.2000 are spent.*may cost \$0\.0600"):
        ledger.refuse_beyond(0.06)
    with pytest.raises(ValueError, match="cannot cost"):
        ledger.charge(-0.1)


def hour_at(path: Path, cap: float = CAP) -> Hour:
    def nobody(_: object) -> AbstractContextManager[Credentials]:
        raise SkippedError("nobody")

    account = Account.emulated_at("http://127.0.0.1:9", "eu-central-1", KEY, "secret-of-nobody")
    report = path / "first-hour.md"
    keys = Credentials(KEY, "secret-of-nobody")
    return Hour(
        account,
        SETTINGS,
        nobody,
        here=True,
        path=report,
        scratch=path,
        keys=keys,
        ledger=Ledger(cap),
    )


def test_a_step_that_may_exceed_the_cap_is_not_begun(tmp_path: Path) -> None:
    hour = hour_at(tmp_path, cap=0.02)
    begun = []
    cheap = Step("cheap", "", 1, lambda _: begun.append("cheap"))
    dear = Step("dear", "", 2, lambda _: begun.append("dear"))
    hour.run(cheap)
    hour.ledger.charge(0.01)
    with pytest.raises(OverCapError):
        hour.run(dear)
    assert begun == ["cheap"]
    assert hour.ledger.spent < 0.02
    assert "| dear |  | refused |" in hour.path.read_text()


def test_a_failed_step_costs_its_worst_and_is_told_without_names(tmp_path: Path) -> None:
    def fails(_: Hour) -> None:
        said = f"User: arn:aws:iam::{ACCOUNT}:user/alice with {KEY} may not read {tmp_path}/x"
        raise DolambdaError(said, hint="Ask at https://console.example.com/alice.")

    hour = hour_at(tmp_path)
    step = Step("fails", "A0", 1, fails)
    with pytest.raises(DolambdaError):
        hour.run(step)
    assert hour.ledger.spent == pytest.approx(step.worst)
    text = hour.path.read_text()
    assert "DolambdaError: User: <ARN of iam> with <key> may not read <path>" in text
    assert "in test_first_hour.py, line " in text
    for private in (ACCOUNT, "alice", KEY, str(tmp_path), "console.example.com"):
        assert private not in text


def test_a_skipped_step_says_why_and_others_go_on(tmp_path: Path) -> None:
    hour = hour_at(tmp_path)

    def skips(asked: Hour) -> None:
        asked.submitter(asked.settings)

    with pytest.raises(SkippedError):
        hour.run(Step("submitter", "A3", 1, skips))
    assert hour.run(Step("next", "", 0, lambda _: None)).outcome == "passed"
    assert "## submitter: skipped\n\n```text\nnobody\n```" in hour.path.read_text()


def test_nothing_runs_once_the_first_deployment_has_failed(tmp_path: Path) -> None:
    def fails(_: Hour) -> None:
        raise DolambdaError("no role")

    hour = hour_at(tmp_path)
    with pytest.raises(DolambdaError):
        hour.run(Step("first deploy", "", 1, fails, begins=True))
    begun: list[int] = []
    with pytest.raises(SkippedError):
        hour.run(Step("next", "", 1, lambda _: begun.append(1)))
    assert begun == []
    assert "| next |  | not run |" in hour.path.read_text()


@pytest.mark.parametrize(
    "private",
    [
        ACCOUNT,
        "1234-5678-9012",
        KEY,
        "ASIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "FwoGZXIvYXdzEBYaDHqa0AP1c9k1f0example0000000000+A/B==",
        "6f1ed002ab5595859014ebf0951522d96f1ed002ab5595859014ebf0951522d9",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin/alice@example.com",
        "arn:aws-us-gov:s3:::bucket-of-alice/jobs/17",
        "alice@example.com",
        "https://d-1234567890.awsapps.com/start#/alice",
        "bucket-of-alice.s3.eu-central-1.amazonaws.com",
        "proxy.corp.example.com",
        "s3.cn-north-1.amazonaws.com.cn",
        "10.1.22.33",
        "2001:db8:85a3:0:0:8a2e:370:7334",
        "ip-10-1-22-33",
        "/home/alice/project/main.py",
        "/Users/alice/.aws/credentials",
        "~/.aws/config",
        r"C:\Users\alice\main.py",
        "7a1f6d2c-0000-4bcd-9999-abcdefabcdef",
        "my-profile",
        "bucket-of-bob",
        "/home/Alice Doe/x",
        "Alices-Laptop",
        "alices-laptop.fritz.box",
    ],
)
def test_what_identifies_somebody_is_removed(private: str) -> None:
    known = {"my-profile": "profile", "bucket-of-bob": "bucket", "/home/Alice Doe": "path"}
    redact = Redactor(known, host="alices-laptop.fritz.box")
    for text in (f"refused: {private}", f"refused ({private}), again", f'"{private}": refused'):
        told = redact(text)
        assert private not in told
        assert "alice" not in told.lower()
        assert "refused" in told
        assert "<" in told


def test_known_values_are_removed_in_any_case_and_within_others() -> None:
    redact = Redactor({"bucket-of-bob": "bucket", "bucket-of-bob-old": "former bucket"})
    assert redact("s3 Bucket-Of-Bob, bucket-of-bob-old.") == "s3 <bucket>, <former bucket>."


@pytest.mark.parametrize(
    "text",
    [
        "lambda:CreateFunction was refused: InvalidParameterValueException",
        "AccessDeniedException: not authorized to perform: s3:ListBucket",
        "dolambda 0.2.0, botocore 1.44.5 and Python 3.11.7 in eu-central-1",
        "ReservedConcurrentExecutions below its minimum value of [10], 262144000 bytes",
        "  in function_state.py, line 133, deploy",
        "no reply to job 17 within 910 s at 12:30:05",
    ],
)
def test_what_explains_a_failure_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_the_policy_fits_the_session_of_a_submitter() -> None:
    longest = Names.of(SETTINGS.stack, "ap-northeast-1", ACCOUNT, None)
    assert len(session_policy(longest)) <= MOST_CHARACTERS


def test_reports_go_where_the_project_takes_issues() -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert f'Issues = "{ISSUES}"' in project.read_text()
