"""Traces of long trials are thinned evenly and keep both ends."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stabsearch.records import StepTrace
from stabsearch.records.record import MAX_TRACE_POINTS

lengths = st.integers(0, 5000)


@given(lengths, st.integers(1, 2000))
def test_a_trace_keeps_first_and_last_and_few_points(num_steps: int, max_points: int) -> None:
    """Never more than asked for and the last, steps ascending from 1, each with its own numbers."""
    losses, norms = [float(i) for i in range(num_steps)], [-float(i) for i in range(num_steps)]
    trace = StepTrace.thinned(losses, norms, max_points)
    assert len(trace.steps) == len(trace.losses) == len(trace.grad_norms) <= max_points + 1
    assert list(trace.steps) == sorted(set(trace.steps))
    assert trace.losses == tuple(losses[step - 1] for step in trace.steps)
    assert trace.grad_norms == tuple(norms[step - 1] for step in trace.steps)
    if num_steps:
        assert (trace.steps[0], trace.steps[-1]) == (1, num_steps)


@given(lengths, st.integers(1, 2000))
def test_gaps_are_even(num_steps: int, max_points: int) -> None:
    """All gaps but the last are the same: a picture of the trace is not distorted."""
    steps = StepTrace.thinned([0.0] * num_steps, [0.0] * num_steps, max_points).steps
    gaps = {later - earlier for earlier, later in pairwise(steps[:-1])}
    assert len(gaps) <= 1


@given(st.integers(0, MAX_TRACE_POINTS))
def test_a_short_trial_is_kept_whole(num_steps: int) -> None:
    """Thinning starts only where a record would become large."""
    trace = StepTrace.thinned([0.0] * num_steps, [0.0] * num_steps)
    assert trace.steps == tuple(range(1, num_steps + 1))


@given(lengths, st.integers(1, 2000), st.integers(0, 6000))
def test_a_trace_can_be_looked_at_as_of_an_earlier_step(num_steps: int, max_points: int, step: int) -> None:
    """Loss scales go along, and what came later is gone."""
    numbers = [float(i) for i in range(num_steps)]
    trace = StepTrace.thinned(numbers, numbers, max_points, numbers).until(step)
    assert all(each <= step for each in trace.steps)
    assert trace.loss_scales == trace.losses == tuple(each - 1 for each in trace.steps)
    assert len(trace.grad_norms) == len(trace.steps)
