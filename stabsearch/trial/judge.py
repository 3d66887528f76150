"""What a trial's own numbers say: diverged, at the scale floor, or still going; pure, no torch.

``collapsed`` is not decided here: it depends on other trials (``frontier.labels``).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

from stabsearch.records import Outcome, OutcomeRules

FP16_INITIAL_SCALE = 65536.0


@dataclass(frozen=True)
class Finding:
    """A failure, and since when."""

    outcome: Outcome
    step: int
    """1-based optimizer step at which the failing stretch began."""
    message: str


@dataclass
class Judge:
    """Watches one trial step by step, in constant time per step.

    Args:
        rules: thresholds.
        horizon: optimizer steps the trial is to run.
        chance_loss: the trivial predictor's loss, nats per example; NaN when unknown.
        initial_scale: loss scale that fp16 training starts with.
    """

    rules: OutcomeRules
    horizon: int
    chance_loss: float = math.nan
    initial_scale: float = FP16_INITIAL_SCALE
    _step: int = field(default=0, init=False)
    _start: float = field(default=math.nan, init=False)
    _smooth: float = field(default=math.nan, init=False)
    _high_since: int = field(default=0, init=False)
    _low_in_a_row: int = field(default=0, init=False)
    _skips_in_a_row: int = field(default=0, init=False)
    _skips: int = field(default=0, init=False)

    def see(self, loss: float, skipped: bool = False, loss_scale: float = 1.0) -> Finding | None:
        """Return a finding as soon as the trial has failed, else None."""
        self._step += 1
        if not math.isfinite(loss):
            return Finding(Outcome.NONFINITE, self._step, f"loss is {loss} at optimizer step {self._step}")
        return self._scaling(skipped, loss_scale) or self._divergence(loss)

    def skips_to_spare(self, loss_scale: float, backoff: float = 0.5) -> int:
        """Return how many further updates the loss scaler can skip before that is a failure.

        Args:
            loss_scale: that the last update met.
            backoff: factor by which the scaler lowers its scale after a skip.

        >>> Judge(OutcomeRules(min_loss_scale=1.0), horizon=100).skips_to_spare(8.0)
        3
        """
        ahead, spare = copy.copy(self), 0
        while True:
            ahead._step += 1
            loss_scale *= backoff
            if ahead._scaling(True, loss_scale):
                return spare
            spare += 1

    @property
    def patience_steps(self) -> int:
        """Return how many optimizer steps in a row the loss must be high."""
        return max(self.rules.divergence_min_steps, math.ceil(self.rules.divergence_share * self.horizon))

    @property
    def ceiling(self) -> float:
        """Return the smoothed loss above which a trial is high, nats per example."""
        known = [level for level in (self._start, self.chance_loss) if math.isfinite(level)]
        level = max(known, default=math.nan)
        # written as a distance, so that it lies above the level also where a loss is negative
        return level + (self.rules.divergence_ratio - 1) * abs(level)

    @property
    def _memory_steps(self) -> int:
        """Return for how many steps the smoothed loss remembers."""
        return max(1, round(1 / (1 - self.rules.smoothing)))

    def _divergence(self, loss: float) -> Finding | None:
        past = self.rules.smoothing
        if self._step == 1:
            # the first loss is computed with the initial weights: no learning rate has touched it
            self._start = self._smooth = loss
        self._smooth = past * self._smooth + (1 - past) * loss
        self._low_in_a_row = 0 if loss > self.ceiling else self._low_in_a_row + 1
        if self._low_in_a_row >= self._memory_steps:
            # it came back: a bump however tall must not keep the smoothed loss up any longer
            self._smooth = min(self._smooth, self.ceiling)
        if not self._smooth > self.ceiling:
            self._high_since = 0
            return None
        self._high_since = self._high_since or self._step
        high_steps = self._step - self._high_since + 1
        ends_high = self._step >= self.horizon and high_steps >= self.rules.divergence_min_steps
        if high_steps < self.patience_steps and not ends_high:
            return None
        message = f"smoothed loss {self._smooth:.3g} stayed above {self.ceiling:.3g} for {high_steps} steps"
        return Finding(Outcome.DIVERGED, self._high_since, message)

    def _scaling(self, skipped: bool, loss_scale: float) -> Finding | None:
        self._skips_in_a_row = self._skips_in_a_row + 1 if skipped else 0
        self._skips += skipped
        # a scale that starts too high is halved once per skip: that many skips are calibration
        most_in_a_row = math.log2(self.initial_scale) + 2
        if self._skips_in_a_row >= most_in_a_row or (skipped and loss_scale < self.rules.min_loss_scale):
            message = f"loss scale {loss_scale:g} after {self._skips_in_a_row} skipped updates in a row"
            return Finding(Outcome.SCALE_FLOOR, self._step - self._skips_in_a_row + 1, message)
        if self._step >= 40 and self._skips / self._step > self.rules.max_skipped_share:
            message = f"{self._skips} of {self._step} updates were skipped by the loss scaler"
            return Finding(Outcome.SCALE_FLOOR, self._step, message)
        return None
