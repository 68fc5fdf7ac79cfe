"""An error that R shows has R's names."""

from __future__ import annotations

import pytest

from dolambda.errors import LocalAwsError
from dolambda.r.error_texts import error_texts


@pytest.mark.parametrize("call", ['dolambda.register("local")', 'register("local")'])
def test_a_hint_names_the_function_of_the_r_package(call: str) -> None:
    error = LocalAwsError("it has ended", hint=f"Call {call} again.")
    assert error_texts(error) == (
        "LocalAwsError",
        "it has ended",
        'Call registerDoLambda("local") again.',
    )


def test_another_function_whose_name_ends_alike_keeps_its_name() -> None:
    error = LocalAwsError("it has ended", hint="Call dolambda.unregister() or preregister().")
    assert error_texts(error)[2] == "Call dolambda.unregister() or preregister()."
