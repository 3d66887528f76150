"""The thresholds that decide an outcome, each with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OutcomeRules:
    """Thresholds that turn a trial's numbers into an outcome; every one can be set in the sweep."""

    __pydantic_config__ = {  # noqa: RUF012  read by the sweep's model; this file stays without pydantic
        "extra": "forbid",
        "allow_inf_nan": False,
        "use_attribute_docstrings": True,
    }

    divergence_ratio: float = 2.0
    """A trial diverges when its smoothed loss stays above this many times the level it started
    from (or chance level, whichever is higher). Source: measured, experiments/LOG.md."""
    divergence_share: float = 0.25
    """Share of the horizon for which the loss must stay up without a break: a shorter bump in the
    first steps is a catapult (Lewkowycz et al. 2020, arXiv:2003.02218), not a failure."""
    divergence_min_steps: int = 10
    """Shortest stretch of optimizer steps that counts as divergence, at any horizon."""
    smoothing: float = 0.8
    """Weight of the past in the exponential moving average of the loss, per optimizer step."""
    collapse_progress: float = 0.5
    """A finished trial with less than this share of the best trial's progress has collapsed,
    unless it has merely not learned yet."""
    learned_progress: float = 0.8
    """A trial with at least this share of the best progress counts as one that learned."""
    clean_progress: float = 0.9
    """A stable trial below this share, where gentler trials reached it, is degraded."""
    rise_ratio: float = 1.1
    """A smoothed loss above this many times its start was damaged, not merely slow."""
    chance_share: float = 0.97
    """A final loss above this share of the trivial predictor's loss is no better than it."""
    max_skipped_share: float = 0.5
    """fp16: share of skipped updates, over at least 40, above which it is not training."""
    min_loss_scale: float = 1.0
    """fp16: a loss scale below this is at its floor."""
