from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.wire import keys


@given(st.integers(0, 999_999), st.integers(0, 999_999_999))
def test_a_job_key_reads_back(sequence: int, number: int) -> None:
    run = keys.run_name(keys.new_client_id(), sequence)
    assert keys.parse_job_key(keys.job_key(run, number)) == (run, number)


def test_a_job_key_names_the_function_that_it_is_for() -> None:
    assert keys.job_key("client/000000", 7) == "jobs/00/client/000000/000000007"
    assert keys.job_key("client/000000", 7, "12") == "jobs/12/client/000000/000000007"
    assert keys.parse_format_1_job_key("jobs/client/000000/000000007") == ("client/000000", 7)
    assert keys.parse_format_1_job_key("jobs/00/client/000000/000000007") is None


@given(st.integers(0, 999_999_998), st.integers(0, 999_999_998))
def test_key_order_is_number_order(one: int, other: int) -> None:
    assert (keys.reply_key("r", one) < keys.reply_key("r", other)) == (one < other)


@given(st.integers(0, 999_999_999))
def test_a_listing_that_starts_just_before_a_key_begins_with_it(number: int) -> None:
    key = keys.reply_key("r", number)
    before = keys.just_before(key)
    assert before < key
    assert number == 0 or before >= keys.reply_key("r", number - 1)


@pytest.mark.parametrize(
    "key",
    [
        "jobs/",
        "jobs/x",
        "jobs/r/1",
        "jobs/r/000000001/",
        "outs/r/000000001",
        "jobs//000000001",
        "jobs/00/r/../000000001x",
        "jobs/0/client/000000/000000001",
        "jobs/client/000000/000000001",
        "jobs/00/client/000000/\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661",
    ],
)
def test_foreign_keys_are_not_taken_for_jobs(key: str) -> None:
    assert keys.parse_job_key(key) is None


def test_replies_of_a_client_share_a_prefix_that_ends_at_a_slash() -> None:
    client = keys.new_client_id()
    prefix = keys.replies_prefix(client)
    assert keys.reply_key(keys.run_name(client, 7), 3).startswith(prefix)
    assert prefix.endswith("/")
