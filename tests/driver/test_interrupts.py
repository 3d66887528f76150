"""Ctrl-C and SIGTERM: the first is noted, the second raises, and afterwards all is as before."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from stabsearch.driver.interrupts import Interrupts, kept_handlers, term_as_interrupt, undisturbed

STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("stop", STOPS)
def test_the_first_signal_is_noted_for_the_loop(stop: signal.Signals) -> None:
    """What is being written is written to its end."""
    with Interrupts() as interrupts:
        assert not interrupts.is_asked
        os.kill(os.getpid(), stop)
        assert interrupts.is_asked


@pytest.mark.parametrize("stop", STOPS)
def test_the_second_signal_does_not_wait(stop: signal.Signals) -> None:
    """A loop that has got stuck can still be left."""
    with Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), stop)


def test_sigterm_is_an_interrupt() -> None:
    """Whoever stops a service gets what Ctrl-C gets."""
    with term_as_interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_what_must_not_be_left_half_done_is_not_disturbed() -> None:
    """Both signals pass without effect."""
    with undisturbed():
        for stop in STOPS:
            os.kill(os.getpid(), stop)


@pytest.mark.parametrize("taken", [Interrupts, kept_handlers, term_as_interrupt, undisturbed])
def test_signals_are_given_back(taken: type) -> None:
    """Also to handlers that somebody else installed before."""
    mine = [signal.signal(stop, lambda *_: None) for stop in STOPS]
    before = [signal.getsignal(stop) for stop in STOPS]
    with taken():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert [signal.getsignal(stop) for stop in STOPS] == before
    for stop, handler in zip(STOPS, mine, strict=True):
        signal.signal(stop, handler)


@pytest.mark.parametrize("taken", [Interrupts, kept_handlers, term_as_interrupt, undisturbed])
def test_other_threads_may_run_sweeps_too(taken: type) -> None:
    """Signals belong to the main thread: elsewhere nothing is installed, and nothing fails."""
    entered = []

    def work() -> None:
        with taken():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
