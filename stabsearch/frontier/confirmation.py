"""What trials on one fixed configuration prove by themselves: exact binomial statements.

The stress form tests a higher learning rate, whose hazard (minus the logarithm of the probability of
surviving) is a known multiple of the recommended one's, as in accelerated life tests (Nelson 1990).
"""

from __future__ import annotations

import math

from scipy.special import betaincinv


def confirmation_trials(max_failure_probability: float, confidence: float) -> int:
    """Return how many fresh seeds must all survive to bound the failure probability.

    The smallest n with ``(1 - p)**n <= 1 - confidence``.

    >>> confirmation_trials(0.1, 0.9)
    22

    Raises:
        ValueError: a probability that is not strictly between 0 and 1.
    """
    _check_open_unit("max_failure_probability", max_failure_probability)
    _check_open_unit("confidence", confidence)
    trials = math.log1p(-confidence) / math.log1p(-max_failure_probability)
    return max(1, math.ceil(trials - 1e-9))  # 1e-9: log rounding must not cost a whole trial


def failure_bound(failed: int, trials: int, confidence: float) -> float:
    """Return the one-sided upper confidence bound of a failure probability (Clopper-Pearson 1934).

    >>> failure_bound(0, 0, 0.9)
    1.0
    >>> round(failure_bound(0, 22, 0.9), 4)
    0.0994

    Raises:
        ValueError: counts that cannot be, or a confidence not strictly between 0 and 1.
    """
    _check_open_unit("confidence", confidence)
    if not 0 <= failed <= trials:
        raise ValueError(f"failed must be between 0 and trials={trials}, got {failed}")
    if failed == trials:
        return 1.0
    return float(betaincinv(failed + 1, trials - failed, confidence))


def stress_trials(max_failure_probability: float, confidence: float, hazard_ratio: float) -> int:
    """Return how many fresh seeds must all survive where the hazard is ``hazard_ratio`` times as high.

    The smallest n with ``(1 - p)**(n * hazard_ratio) <= 1 - confidence``.

    >>> stress_trials(0.1, 0.9, hazard_ratio=1.0), stress_trials(0.1, 0.9, hazard_ratio=5.0)
    (22, 5)

    Raises:
        ValueError: a probability that is not strictly between 0 and 1, a ratio below 1.
    """
    _check_open_unit("max_failure_probability", max_failure_probability)
    _check_open_unit("confidence", confidence)
    _check_ratio(hazard_ratio)
    trials = math.log1p(-confidence) / math.log1p(-max_failure_probability) / hazard_ratio
    return max(1, math.ceil(trials - 1e-9))  # 1e-9: as in confirmation_trials


def relieved_bound(bound: float, hazard_ratio: float) -> float:
    """Return the bound of a failure probability where the hazard is ``hazard_ratio`` times as low.

    >>> round(relieved_bound(failure_bound(0, 5, 0.9), 5.0), 3)
    0.088
    >>> relieved_bound(1.0, 5.0)
    1.0

    Raises:
        ValueError: a bound outside 0 to 1, a ratio below 1.
    """
    _check_ratio(hazard_ratio)
    if not 0 <= bound <= 1:
        raise ValueError(f"bound must be between 0 and 1, got {bound!r}")
    return 1.0 if bound == 1 else -math.expm1(math.log1p(-bound) / hazard_ratio)


def _check_ratio(hazard_ratio: float) -> None:
    if not 1 <= hazard_ratio < math.inf:
        raise ValueError(f"hazard_ratio must be 1 or above, got {hazard_ratio!r}")


def _check_open_unit(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}")
