"""Named runs take nothing that is not theirs, and their results belong to the tasks of the last
start.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from dolambda.errors import AwsError, ConfigurationError, RunTakenOverError
from dolambda.named_runs import (
    NamedRun,
    OpenNamedRuns,
    Recorder,
    check_name,
    names,
)
from dolambda.scheduler.report import Report
from dolambda.wire import keys
from dolambda.wire.lease import Lease
from dolambda.wire.outcome import PackedOutcome, Value
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply
from support.dict_bucket import DictBucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.aws.objects import Bucket
    from dolambda.transport.base import Transport

KEY = b"k" * 32
OVER = replace(Report(), over=True)


@pytest.fixture
def bucket() -> DictBucket:
    return DictBucket()


def run_of(bucket: DictBucket, name: str = "mine") -> NamedRun:
    return NamedRun(name, cast("Bucket", bucket), KEY)


def reply(bucket: DictBucket, name: str, number: int, tasks: dict[int, str]) -> str:
    """Put the reply to a job whose tasks, of those identities, return their identities."""
    outcomes = OutcomeTable.from_outcomes(
        [
            replace(PackedOutcome.from_value(index, task, 0.1), task=task)
            for index, task in tasks.items()
        ]
    )
    sealed = Reply(f"run.{name}/000000", number, 1, outcomes).to_bytes(KEY)
    key = f"outs/run.{name}/000000/{number:09d}"
    bucket.put(key, sealed)
    return key


def start(bucket: DictBucket, inputs: Sequence[str]) -> None:
    """Start the run as an executor does: what has a reply is taken, the rest is sent, one task a
    job.
    """
    named = run_of(bucket)
    stored = named.begin()
    number = stored.first
    for index, task in enumerate(inputs):
        outcome = stored.take(task, index)
        if outcome is None:
            reply(bucket, "mine", number, {index: task})
            number += 1
        else:
            assert outcome.index == index
    Recorder(named, None)(replace(OVER, tasks=len(inputs), done=len(inputs)))


def results(bucket: DictBucket) -> dict[int, Any]:
    found = run_of(bucket).results()
    opened = {index: packed.open() for index, packed in found.outcomes.items()}
    return {index: outcome.value for index, outcome in opened.items() if isinstance(outcome, Value)}


@pytest.mark.parametrize(
    ("starts", "others"),
    [
        (["abc"], 0),
        (["abc", "xabc"], 0),
        (["abc", "cba"], 0),
        (["abc", "bc"], 1),
        (["abc", "xabc", "yc"], 3),
        (["abc", "xabc", "abcx"], 0),
    ],
)
def test_results_are_those_of_the_last_start_in_its_order(
    bucket: DictBucket, starts: list[str], others: int
) -> None:
    for inputs in starts:
        start(bucket, inputs)
    assert results(bucket) == dict(enumerate(starts[-1]))
    assert run_of(bucket).results().others == others


def test_a_start_that_ended_early_gives_what_it_came_to_and_nothing_wrong(
    bucket: DictBucket,
) -> None:
    start(bucket, "abc")
    named = run_of(bucket)
    stored = named.begin()
    assert results(bucket) == {}
    stored.take("b", 0)
    Recorder(named, None)(Report())  # a report while it runs; then it is killed
    assert results(bucket) == {0: "b"}
    assert run_of(bucket).results().others == 2
    record = run_of(bucket).record()
    assert record is not None
    assert not record.over


def test_a_reply_copied_from_another_run_or_place_is_left_out(
    bucket: DictBucket, caplog: pytest.LogCaptureFixture
) -> None:
    start(bucket, "ab")
    others = bucket.get(reply(bucket, "donor", 0, {0: "evil", 7: "evil too"}))
    bucket.put("outs/run.mine/000000/000000500", others)
    bucket.put("outs/run.mine/000000/000000000", others)  # over one of its own
    bucket.put("outs/run.mine/000000/000000009", bucket.get("outs/run.mine/000000/000000001"))
    assert results(bucket) == {1: "b"}
    assert caplog.text.count("is left out") == 3
    assert run_of(bucket).begin().take("evil", 0) is None


def test_a_record_copied_over_another_is_refused(
    bucket: DictBucket, caplog: pytest.LogCaptureFixture
) -> None:
    start(bucket, "ab")
    donor = run_of(bucket, "donor")
    donor.begin()
    for suffix in ("", ".order"):
        donor.write_order(0, {0: "x"})
        bucket.put(f"runs/mine{suffix}", bucket.get(f"runs/donor{suffix}"))
    assert run_of(bucket).record() is None
    assert "it belongs to run 'donor'" in caplog.text
    assert donor.record() is not None
    assert results(bucket) == {}  # it is not known which numbers the last start had
    start(bucket, "ab")
    assert results(bucket) == {0: "a", 1: "b"}


def test_a_record_cannot_pass_for_a_reply_or_an_order(bucket: DictBucket) -> None:
    start(bucket, "ab")
    bucket.put("runs/mine.order", bucket.get("runs/mine"))
    bucket.put("outs/run.mine/000000/000000000", bucket.get("runs/mine"))
    assert results(bucket) == {1: "b"}


ODD = [
    "runs/Strange Name",
    "runs/",
    "runs/mine/more",
    "runs/mine.order.old",
    "outs/run.mine/000000/strange",
    "outs/run.mine/000000/0000000001",
    "outs/run.mine/000000/00000000\u0661",
    "outs/run.mine/000000/deeper/000000000",
    "outs/run.mine/000000/live/000000000",
    "outs/run.mine/000001/000000000",
    "jobs/00/run.mine/000000/strange",
]


def test_odd_keys_are_passed_over_and_left_alone(bucket: DictBucket) -> None:
    for key in ODD:
        bucket.put(key, b"odd")
    start(bucket, "ab")
    assert names(cast("Bucket", bucket)) == ["mine"]
    assert results(bucket) == {0: "a", 1: "b"}
    assert run_of(bucket).jobs() == []
    assert run_of(bucket).cancel() == 0
    assert run_of(bucket).clean() == 3
    assert sorted(bucket.objects) == sorted(ODD)


def test_a_key_far_above_its_own_leaves_numbers_to_use(bucket: DictBucket) -> None:
    start(bucket, "ab")
    for number in ("999999999", "900000000"):
        bucket.put(f"outs/run.mine/000000/{number}", b"odd")
        bucket.put(f"jobs/00/run.mine/000000/{number}", b"odd")
    assert 2 <= run_of(bucket).begin().first < 200_000


def test_a_reply_that_goes_while_it_is_looked_for_is_no_harm(
    bucket: DictBucket,
) -> None:
    start(bucket, "ab")
    listed = run_of(bucket).reply_keys()
    bucket.delete(listed[:1])
    assert [one.number for one in run_of(bucket).replies(listed)] == [1]


@pytest.mark.parametrize("name", [17, None, b"x", "", "Nightly", "a/b", "x" * 41, "a\n", "a.order"])
def test_what_cannot_be_a_name_is_shown(name: object) -> None:
    with pytest.raises(ConfigurationError, match="is not a name for a run") as caught:
        check_name(name)
    assert f"run={name!r}" in str(caught.value)


@pytest.mark.parametrize("again", [1, 3])
def test_a_run_begun_again_after_a_cancel_uses_no_number_that_workers_take_for_cancelled(
    bucket: DictBucket, again: int
) -> None:
    run_of(bucket).begin()
    for number in (4, 5, 7):
        bucket.put(keys.job_key("run.mine/000000", number), b"a job")
    assert run_of(bucket).cancel() == 3
    sealed = bucket.get("leases/run.mine/000000")
    assert Lease.from_bytes(sealed, KEY, "run.mine/000000").withdrawn == ((4, 5), (7, 7))
    for _ in range(again):
        first = run_of(bucket).begin().first
    assert first >= 8
    assert run_of(bucket).jobs() == []


def test_what_a_killed_client_has_not_seen_of_its_tasks_output_is_cleaned(
    bucket: DictBucket,
) -> None:
    start(bucket, "ab")
    left = keys.part_key("run.mine/000000", 7, 1, "abc123", 0)
    bucket.put(left, b"a part")
    assert results(bucket) == {0: "a", 1: "b"}
    assert run_of(bucket).clean() == 4
    assert left not in bucket.objects


def test_jobs_of_an_earlier_client_are_withdrawn_by_the_lease_too(bucket: DictBucket) -> None:
    run_of(bucket).begin()
    bucket.put(keys.job_key("run.mine/000000", 2), b"a job")
    assert run_of(bucket).begin().first >= 3
    sealed = bucket.get("leases/run.mine/000000")
    assert Lease.from_bytes(sealed, KEY, "run.mine/000000").is_withdrawn(2)


def test_a_lease_that_someone_else_wrote_keeps_no_run_from_beginning(bucket: DictBucket) -> None:
    lease = Lease.from_numbers("run.mine/000000", [9])
    bucket.put("leases/run.mine/000000", lease.to_bytes(b"x" * 32))
    assert run_of(bucket).begin().first == 0
    run_of(bucket).clean()
    assert "leases/run.mine/000000" not in bucket.list("leases/")


QUEUE = cast("Transport", SimpleNamespace(queues=True))


def test_a_name_is_taken_from_the_moment_its_run_begins() -> None:
    """Two threads of one session may begin it: each would close the other's transport."""

    class Slow(DictBucket):
        refused = False

        def list(self, prefix: str) -> list[str]:
            if not self.refused:
                self.refused = True
                with pytest.raises(ConfigurationError, match="already open in this session"):
                    opened.take_over("mine", QUEUE)
            return super().list(prefix)

    bucket = Slow()
    opened = OpenNamedRuns(cast("Bucket", bucket), KEY, None)
    opened.take_over("mine", QUEUE)
    assert bucket.refused
    opened.release("run.mine/000000")
    opened.take_over("mine", QUEUE)


def test_a_run_that_could_not_begin_leaves_its_name_free() -> None:
    class Unreachable(DictBucket):
        def list(self, prefix: str) -> list[str]:
            raise AwsError(f"no network: {prefix}", hint="Try again.")

    opened = OpenNamedRuns(cast("Bucket", Unreachable()), KEY, None)
    for _ in range(2):
        with pytest.raises(AwsError):
            opened.take_over("mine", QUEUE)


def test_only_one_of_two_clients_that_begin_at_the_same_time_continues() -> None:
    class Overtaken(DictBucket):
        others = 1

        def list(self, prefix: str) -> list[str]:
            if self.others:
                self.others -= 1
                run_of(self).begin()
            return super().list(prefix)

    bucket = Overtaken()
    with pytest.raises(RunTakenOverError, match="was begun again by another program"):
        run_of(bucket).begin()
    record = run_of(bucket).record()
    run_of(bucket).begin()
    assert record != run_of(bucket).record()


def test_what_a_start_sent_after_another_began_is_no_result_of_that_one(
    bucket: DictBucket,
) -> None:
    earlier, later = run_of(bucket), run_of(bucket)
    number = earlier.begin().first
    reply(bucket, "mine", number, {0: "a"})
    later_number = later.begin().first
    for offset in range(1, 100):  # jobs that were in flight when it was taken over
        reply(bucket, "mine", number + offset, {offset: f"earlier {offset}"})
    reply(bucket, "mine", later_number, {0: "b"})
    Recorder(later, None)(replace(OVER, tasks=1, done=1))
    Recorder(earlier, None)(replace(OVER, tasks=100, done=100))  # it ends last
    assert results(bucket) == {0: "b"}
    record = run_of(bucket).record()
    assert record is not None
    assert record.tasks == 1


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"cut"])
def test_a_damaged_record_neither_ends_nor_keeps_a_run(bucket: DictBucket, damage: bytes) -> None:
    named = run_of(bucket)
    named.begin()
    sealed = bucket.objects["runs/mine"]
    bucket.objects["runs/mine"] = sealed[: len(sealed) // 2] if damage == b"cut" else damage
    assert named.taken_over() is None
    assert run_of(bucket).record() is None
    assert run_of(bucket).begin().first >= 0


def test_cleaning_a_run_stops_the_jobs_that_workers_have_begun(bucket: DictBucket) -> None:
    run_of(bucket).begin()
    bucket.put(keys.job_key("run.mine/000000", 2), b"a job")
    assert run_of(bucket).clean() == 2  # job and record
    for _ in range(2):  # the second finds no job any more
        sealed = bucket.get("leases/run.mine/000000")
        assert Lease.from_bytes(sealed, KEY, "run.mine/000000").is_withdrawn(2)
        run_of(bucket).clean()
    assert run_of(bucket).begin().first == 3


@pytest.mark.parametrize("damage", [None, b"", b"rubbish"])
def test_without_its_record_no_result_has_a_number(
    bucket: DictBucket, damage: bytes | None
) -> None:
    """Two starts may have different tasks at one position."""
    start(bucket, "abc")
    start(bucket, "xabc")
    if damage is None:
        del bucket.objects["runs/mine"]
    else:
        bucket.objects["runs/mine"] = damage
    assert results(bucket) == {}
    assert run_of(bucket).results().others == 4
    start(bucket, "xabc")
    assert results(bucket) == dict(enumerate("xabc"))
