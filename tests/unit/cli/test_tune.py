"""How `dolambda tune` ends when it is told to."""

from __future__ import annotations

import signal

import pytest

from dolambda.cli.signals import TERMINATION, ended_by


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_second_signal_does_not_interrupt_the_removal() -> None:
    before = {number: signal.getsignal(number) for number in TERMINATION}
    try:
        with ended_by(TERMINATION):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGHUP)
            for number in TERMINATION:
                signal.raise_signal(number)
        for number in TERMINATION:
            signal.raise_signal(number)  # nor while the program ends
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_without_a_signal_the_handlers_are_as_before() -> None:
    before = {number: signal.getsignal(number) for number in TERMINATION}
    with ended_by(TERMINATION):
        assert all(signal.getsignal(number) != handler for number, handler in before.items())
    assert {number: signal.getsignal(number) for number in TERMINATION} == before
