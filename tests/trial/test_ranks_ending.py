"""A process of several that fails ends the trial for all: nobody waits for it, nothing is left running."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rank_samples import HELD_OUT_BROKEN, IS_KILLED, RAISES, STILL, group
from trial_samples import plan

from stabsearch.driver.base import WorkerLost
from stabsearch.driver.ranks import RankGroup
from stabsearch.records import Outcome


@pytest.fixture
def two(tmp_path: Path) -> Iterator[RankGroup]:
    """Return two processes that have not started yet."""
    ranks = group(tmp_path)
    yield ranks
    ranks.close()


def pids(ranks: RankGroup) -> list[int]:
    return [rank.process.pid for rank in ranks._ranks]


def are_gone(processes: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_what_one_process_raised_is_the_crash_of_the_trial(two: RankGroup) -> None:
    """The other is in the middle of an exchange: both are replaced, and the next trial runs."""
    assert two.work(plan(model_seed=STILL)).outcome is Outcome.STABLE
    warm = pids(two)
    record = two.work(plan(model_seed=RAISES))
    assert record.outcome is Outcome.CRASHED
    assert record.message.startswith('KeyError: "the second process\'s own bug" (rank_samples.py:')
    assert record.steps == 2
    assert are_gone(warm)
    assert two.work(plan(model_seed=RAISES)).outcome is Outcome.STABLE, "it happens once"


def test_an_evaluation_that_one_process_cannot_end_costs_no_trial(two: RankGroup) -> None:
    """What was trained is a record at once; the other, which waits for its losses, is replaced with it."""
    record = two.work(plan(model_seed=HELD_OUT_BROKEN))
    assert record.outcome is Outcome.STABLE
    assert math.isnan(record.eval_loss)
    assert "it could not be evaluated: KeyError: " in record.message
    assert pids(two) == []
    assert two.work(plan(model_seed=STILL)).outcome is Outcome.STABLE


def test_a_process_that_died_is_a_lost_trial_or_none(two: RankGroup) -> None:
    """In a trial: not a crash, though the connection of the other broke. Between two: nothing was lost."""
    with pytest.raises(WorkerLost, match="process 1 of the trial went away, exit status -9"):
        two.work(plan(model_seed=IS_KILLED))
    assert pids(two) == []
    assert two.work(plan(model_seed=IS_KILLED)).outcome is Outcome.STABLE, "it happens once"
    first, second = two._ranks
    second.process.kill()
    second.process.wait()
    assert two.work(plan(model_seed=STILL)).outcome is Outcome.STABLE
    assert are_gone([first.process.pid])
    scratch, warm = two._scratch, pids(two)
    assert scratch is not None
    two.close()
    assert not scratch.exists(), "killed in the middle of a trial, they cannot tidy up themselves"
    assert are_gone(warm)
    assert "LOCAL_RANK" not in os.environ, "this process takes no part"
