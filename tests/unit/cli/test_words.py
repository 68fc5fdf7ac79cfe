"""Errors name options on the command line; what is code stays code."""

from __future__ import annotations

import pytest

from dolambda.cli.words import in_options


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("memory=64 is not a whole number", "--memory 64 is not a whole number"),
        ("Leave log_days= out for the default.", "Leave --log-days out for the default."),
        ("Set region=, or run `aws configure`.", "Set --region, or run `aws configure`."),
        ("layers=('x',) is not a list", "--layer ('x',) is not a list"),
        ("endpoint_url='x' is not a URL", "--endpoint-url 'x' is not a URL"),
        ("(bucket='A')", "(--bucket 'A')"),
        ("DOLAMBDA_MEMORY=64 is not", "DOLAMBDA_MEMORY=64 is not"),
        (
            "Write `register(memory=512)` or memory=512",
            "Write `register(memory=512)` or --memory 512",
        ),
        ("Use LambdaExecutor(workers=3).", "Use LambdaExecutor(workers=3)."),
        ("run='x' and mine= are Python's", "run='x' and mine= are Python's"),
        (
            "profile= or key= and secret=;",
            "--profile or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY;",
        ),
        ("my_memory=1, x.memory=1", "my_memory=1, x.memory=1"),
        ("or dolambda.register('local').", "or `dolambda local start`."),
        ('or register("local")', "or `dolambda local start`"),
    ],
)
def test_arguments_become_options(message: str, said: str) -> None:
    assert in_options(message) == said
