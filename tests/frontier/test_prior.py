"""What is believed of the thresholds before any trial."""

from __future__ import annotations

import math

import numpy as np
import pytest
from engine_samples import SPAN

from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.prior import CONTEXT_FACTORS, context_prior, factor_of, factored_prior
from stabsearch.records import Context

PLAIN = Context("fp32", 0, 0.0)
WARM = PLAIN._replace(warmup_steps=100)
HALF = PLAIN._replace(precision="fp16")


def correlation(a: Context, b: Context) -> float:
    """Return the prior correlation between two contexts."""
    covariance = context_prior([a, b], SPAN).covariance_CC
    return float(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))


def test_the_more_contexts_differ_the_less_they_resemble_each_other() -> None:
    """Warmup by distance in the logarithm of its steps, clip norms too; precision weighs most."""
    near = correlation(PLAIN._replace(warmup_steps=200), WARM)
    assert 1 > near > correlation(WARM, PLAIN) > correlation(WARM, HALF)
    one, half, none = (PLAIN._replace(max_grad_norm=norm) for norm in (1.0, 0.5, 0.0))
    assert correlation(one, half) > correlation(one, none)
    assert correlation(PLAIN, WARM) > correlation(PLAIN, HALF) > 0.5


def test_a_wide_range_leaves_room_for_both_ends() -> None:
    """A quarter of it is one standard deviation; the mean is its middle."""
    prior = context_prior([PLAIN], Span(-8.0, 0.0))
    assert prior.mean_C[0] == -4.0
    assert math.sqrt(prior.covariance_CC[0, 0]) > 2.0


def test_contexts_of_one_precision_can_die_together() -> None:
    """And no others; parameters that are not known to kill leave each context to itself."""
    a, b, c = context_prior([PLAIN, WARM, HALF], SPAN).group_C
    assert a == b != c
    layers = factor_of("layers", is_numeric=True)
    assert len(set(factored_prior({layers: [1, 1, 2]}, SPAN, 3).group_C)) == 3


def test_numbers_resemble_by_rank_and_names_only_themselves() -> None:
    """A parameter of the three known names whose values are no numbers is compared by name."""
    rank = factor_of("layers", is_numeric=True).correlation([1, 2, 4])
    assert rank[0, 1] > rank[0, 2] > 0
    assert factor_of("optimizer", is_numeric=False).correlation(["adam", "sgd"])[0, 1] == 0
    assert factor_of("warmup_steps", is_numeric=False).correlation(["short", "long"])[0, 1] == 0
    assert factor_of("max_grad_norm", is_numeric=True) in CONTEXT_FACTORS


def test_no_clipping_resembles_no_clipping() -> None:
    """Infinity minus infinity is no distance."""
    same = factor_of("max_grad_norm", is_numeric=True).correlation([0.0, 0.0, 1.0])
    assert same.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_a_hint_about_a_context_moves_it_and_what_resembles_it() -> None:
    """By less the less it resembles; and leaves less doubt than before."""
    hint = PriorHint("fp32", mean=-3.0, sd=0.3, context=PLAIN)
    told, untold = (context_prior([PLAIN, WARM, HALF], SPAN, hints) for hints in ([hint], []))
    shift_C = told.mean_C - untold.mean_C
    assert 1 > shift_C[0] > shift_C[1] > shift_C[2] > 0
    assert (np.diag(told.covariance_CC) < np.diag(untold.covariance_CC)).all()


def test_a_hint_about_a_context_that_is_not_searched_still_helps() -> None:
    """An earlier sweep with another warmup."""
    elsewhere = PriorHint("fp32", mean=-3.0, sd=0.3, context=PLAIN._replace(warmup_steps=50))
    prior = context_prior([PLAIN, WARM], SPAN, [elsewhere])
    assert len(prior.mean_C) == 2
    assert -4.0 < prior.mean_C[0] < prior.mean_C[1] < -3.0


def test_a_hint_about_a_precision_moves_the_mean_of_its_contexts() -> None:
    """A vague one by little, one about a precision that is not searched by nothing."""
    sharp, vague = (PriorHint("fp32", mean=-3.0, sd=sd) for sd in (0.01, 5.0))
    assert context_prior([PLAIN, WARM], SPAN, [sharp]).mean_C.mean() == pytest.approx(-3.0, abs=0.01)
    assert context_prior([PLAIN, WARM], SPAN, [vague]).mean_C.mean() == pytest.approx(-4.0, abs=0.1)
    foreign = context_prior([PLAIN], SPAN, [PriorHint("bf16", mean=-3.0, sd=0.1)])
    assert foreign.mean_C[0] == -4.0


def test_many_hints_of_one_source_are_not_many_opinions() -> None:
    """Eight contexts of an earlier sweep leave almost as much doubt of all together as one does."""
    contexts = [PLAIN._replace(warmup_steps=100 * i) for i in range(8)]
    hints = [PriorHint("fp32", mean=-3.0, sd=0.4, context=context) for context in contexts]
    one, all_of_them = (context_prior(contexts, SPAN, given) for given in (hints[:1], hints))
    sd = [math.sqrt(prior.covariance_CC.mean()) for prior in (one, all_of_them)]
    assert sd[1] > 0.3
    assert sd[1] < sd[0]
