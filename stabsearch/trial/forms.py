"""The two forms of the guard: what they have in common, and which of them a training gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import torch

from stabsearch.errors import UserError
from stabsearch.trial.frozen_form import FrozenForm, waits, why_not
from stabsearch.trial.plain_form import PlainForm

if TYPE_CHECKING:
    from stabsearch.trial.instrument import Guard

GuardForm = Literal["auto", "plain", "frozen"]
"""``plain`` reads each number at once, ``frozen`` later without waiting; ``auto``: frozen where it pays."""


class Form(Protocol):
    """How the numbers of a training come to the host; whatever the way, the same comes of them."""

    @property
    def name(self) -> str:
        """Return ``plain`` or ``frozen``."""

    def begin_window(self) -> None:
        """Take note that another update begins."""

    def take_loss(self, loss: torch.Tensor) -> bool:
        """Take the loss of a micro-batch; return whether it is to be back-propagated."""

    def take_update(self) -> None:
        """Take the numbers of an update, its gradients being clipped; the optimizer steps next."""

    def settle(self) -> None:
        """Look at everything outstanding, and raise if it is bad."""

    def settle_broken(self) -> None:
        """Do so for a training that raised, with an update that was not finished."""

    def end(self) -> None:
        """Leave the optimizer as it was found."""


def chosen_form(guard: Guard, wanted: GuardForm) -> Form:
    """Return the form of a guard whose Trainer has made its optimizer.

    Args:
        guard: that is going to use it.
        wanted: ``auto`` is frozen where the plain form would have to wait for the device, and it can be.

    Raises:
        UserError: ``frozen`` is wanted, and cannot be; the message says why.
    """
    if wanted == "plain" or (wanted == "auto" and not waits(guard.trainer.args.device)):
        return PlainForm(guard)
    reason = why_not(guard.trainer)
    if not reason:
        return FrozenForm(guard)
    if wanted == "frozen":
        raise UserError(f"the guard's frozen form cannot be had: {reason}", "use auto, or plain")
    return PlainForm(guard)
