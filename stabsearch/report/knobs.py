"""What each knob buys, in words: by what factor a setting moves the safe learning rate."""

from __future__ import annotations

from stabsearch.frontier.effects import Effect
from stabsearch.records.hyperparameters import HYPERPARAMETERS, Value
from stabsearch.report.wording import counted


def setting(factor: str, value: Value) -> str:
    """Return one value of a factor as people name it.

    >>> setting("max_grad_norm", 1.0), setting("warmup_steps", 0), setting("adam_beta2", 0.98)
    ('clip 1', 'no warmup', 'b2 0.98')
    """
    row = HYPERPARAMETERS[factor]
    is_none = row.scale in {"steps", "log_or_none"} and not value
    return f"no {row.short}" if is_none else row.label(value)


def fold(ratio: float) -> str:
    """Return a factor with two significant digits.

    >>> fold(2.14), fold(3.0), fold(0.874), fold(1234.0)
    ('×2.1', '×3.0', '×0.87', '×1200')
    """
    return f"×{two_digits(ratio)}"


def fold_interval(effect: Effect) -> str:
    """Return the credible interval of an effect: ``[1.6, 2.8]``."""
    return f"[{two_digits(effect.ratio_low)}, {two_digits(effect.ratio_high)}]"


def direction(effect: Effect) -> str:
    """Return what an effect does to the safe learning rate, in a word or three."""
    if not effect.is_clear:
        return "no clear effect"
    return "raises it" if effect.ratio > 1 else "lowers it"


def basis(effect: Effect) -> str:
    """Return what an effect is compared with, and how often it could be."""
    baseline = setting(effect.factor, effect.baseline)
    return f"against {baseline}, {counted(effect.num_pairs, 'pair')} of contexts"


def effect_sentence(effect: Effect) -> str:
    """Return an effect with its interval and what it rests on."""
    name, size = setting(effect.factor, effect.value), f"{fold(effect.ratio)} {fold_interval(effect)}"
    if not effect.is_clear:
        return f"{name}: no clear effect, {size} ({basis(effect)})"
    verb = "raises" if effect.ratio > 1 else "lowers"
    return f"{name} {verb} the safe learning rate {size} ({basis(effect)})"


def two_digits(ratio: float) -> str:
    """Return a factor with two significant digits, without a sign."""
    rounded = float(f"{ratio:.2g}")
    return f"{rounded:.1f}" if 1 <= rounded < 10 else f"{rounded:g}"
