"""How curved the loss is for Adam, and the learning rates between which it should turn unstable."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Sharpness:
    """Preconditioned sharpness of one model and batch, before and after some gentle steps.

    Sharpness is the largest eigenvalue of P^-1 H, with the Hessian H of the training loss and
    Adam's preconditioner P = sqrt(v_hat) + eps; its unit is one over a learning rate.
    """

    at_start: float | None
    """On the initial weights, P from the first gradient; None: not finite, or no positive curvature."""
    after_warmup: float | None
    """On the weights and with the optimizer state after ``num_steps`` optimizer steps; None as above."""
    beta1: float
    """Adam's weight of past gradients."""
    num_steps: int
    """Optimizer steps that were taken between the two."""
    learning_rate: float
    """Learning rate of these steps."""
    num_products: int
    """Hessian-vector products per eigenvalue, at most."""
    message: str = ""
    """Why there is no number; empty when there is one."""

    @property
    def bracket(self) -> tuple[float, float] | None:
        """Return the learning rates at which one and the other sharpness is the stable most, low first.

        Full-batch Adam equilibrates where the sharpness is (2 + 2 beta1) / ((1 - beta1) learning
        rate), 38 / learning rate for beta1 = 0.9 (Cohen et al. 2022, arXiv:2207.14484). None when
        neither is known; both ends are the same when one is.

        >>> low, high = Sharpness(3800.0, 38.0, 0.9, 20, 2e-5, 12).bracket
        >>> round(low, 6), round(high, 6)
        (0.01, 1.0)
        """
        known = [value for value in (self.at_start, self.after_warmup) if value is not None]
        rates = [self._threshold / value for value in known]
        return (min(rates), max(rates)) if rates else None

    @property
    def _threshold(self) -> float:
        return (2 + 2 * self.beta1) / (1 - self.beta1)


def as_sharpness(value: float) -> float | None:
    """Return a largest eigenvalue as a sharpness: None where it is no positive, finite number."""
    return value if math.isfinite(value) and value > 0 else None
