"""The background thread that tries again."""

from __future__ import annotations

import math

from stabsearch.tracking.courier import Courier


class Steps:
    """Steps that fail a number of times, and a log of what was done."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.courier = Courier(lambda: self.log.append("reset"), first_pause_s=0.001)

    def send(self, name: str, *errors: Exception) -> None:
        """Queue a step that raises these errors, one per attempt, and then succeeds."""
        left = list(errors)

        def act() -> None:
            if left:
                raise left.pop(0)
            self.log.append(name)

        self.courier.send(name, act)

    def finish(self) -> bool:
        """Run everything that was queued."""
        self.courier.start()
        return self.courier.finish(60)


def test_an_outage_is_sat_out_in_order() -> None:
    """A step that fails for a passing reason is done before the next one, after looking again."""
    steps = Steps()
    steps.send("a", ConnectionResetError("gone"), TimeoutError("slow"), RuntimeError("odd"))
    steps.send("b")
    assert steps.finish()
    assert steps.log == ["reset", "reset", "reset", "a", "b"]
    assert steps.courier.problem == ""
    assert steps.courier.refused == {}


def test_a_refusal_is_tried_once_more_and_then_given_up() -> None:
    """A step that is refused twice is named and does not hold back the next one."""
    steps = Steps()
    steps.send("a", ValueError("no"), ValueError("still no"), ValueError("never"))
    steps.send("b", ValueError("no"))
    assert steps.finish()
    assert steps.log == ["reset", "reset", "reset", "b"]
    assert steps.courier.refused == {"a": "still no"}


def test_a_later_success_clears_a_refusal() -> None:
    """What was refused and went through later is no problem any more."""
    steps = Steps()
    steps.send("a", ValueError("no"), ValueError("no"))
    steps.send("a")
    assert steps.finish()
    assert steps.courier.refused == {}


def test_the_end_comes_even_when_nothing_works() -> None:
    """Waiting for the end is bounded, and says that not everything was done."""
    steps = Steps()
    steps.send("a", *[ConnectionResetError("gone")] * 100_000)
    steps.courier.start()
    assert not steps.courier.finish(0.05)
    assert steps.courier.problem == "gone"


def test_who_waits_for_ever_does_not_wait_for_what_never_comes() -> None:
    """Without a limit in all, it is the single step that may take only so long."""
    steps = Steps()
    steps.send("a")
    steps.send("b", *[ConnectionResetError("gone")] * 1_000_000)
    steps.courier.start()
    assert not steps.courier.finish(math.inf, stall_s=0.2)
    assert "a" in steps.log
    assert steps.courier.problem == "gone"
