"""The workload of training code that the user wrote: whatever makes a Trainer from TrainingArguments."""

from __future__ import annotations

import copy
import itertools
import math
import sys
import tempfile
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch.utils.data import Subset
from transformers import TrainingArguments, set_seed

from stabsearch.errors import KeyPath, UserError
from stabsearch.task.quiet import make_quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer

    from stabsearch.task.surroundings import Surroundings

MakeTrainer = Callable[[TrainingArguments], Any]
NEEDS_STEPS = "max_steps has to be specified"
"""What a Trainer says of a data set without a length that is to be passed over in epochs."""
MAKE_ANEW = "load or make the model inside of the code that makes the Trainer, anew each time"

NAMED_OTHERWISE = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml"}
"""Modules that training scripts import -> the name that they are installed by."""


class OwnWorkload:
    """A Trainer made anew for every trial by code of the user's.

    Args:
        make: arguments -> Trainer, not yet started.
        surroundings: what the process has to look like while that code, and its Trainer, are at work.
        key: part of the sweep that names the code.
        chance_loss: of the trivial predictor, as the user gave it; None: not known.
        eval_rows: of the Trainer's own held-out rows, how many of the first a trial is evaluated on.
    """

    def __init__(
        self, make: MakeTrainer, surroundings: Surroundings, key: KeyPath, chance_loss: float | None,
        eval_rows: int = 0,
    ) -> None:  # fmt: skip
        self._make, self._surroundings, self._key = make, surroundings, key
        self._chance_loss = math.nan if chance_loss is None else chance_loss
        self._eval_rows = eval_rows
        self._args: TrainingArguments | None = None
        self._num_rows: int | None = None
        self._trained: dict[int, weakref.ref[torch.Tensor]] = {}
        """Weights of every model there was, by their identity."""

    @property
    def num_rows(self) -> int:
        """Return how many rows the Trainer is given; 0 for a stream.

        Raises:
            UserError: there are none, or there is no training data at all.
        """
        if self._num_rows is None:
            self._num_rows = self._length_of(self._made(self._known_arguments(), 0))
        return self._num_rows

    @property
    def chance_loss(self) -> float:
        """Return the loss of the trivial predictor; NaN where the user gave none."""
        return self._chance_loss

    def surroundings(self) -> AbstractContextManager[None]:
        """Return what the process looks like to the user's code, for as long as it is at work."""
        return self._surroundings.entered()

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return the model of a Trainer that is made for nothing else, with the arguments of the last one."""
        args = copy.copy(self._known_arguments())
        args.seed = model_seed  # code that seeds by itself takes it from here
        model: PreTrainedModel = self._made(args, model_seed).model
        return model

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return what the user's code makes of the arguments, once every generator is seeded.

        Raises:
            UserError: it raises, makes no Trainer, or one whose model or data cannot be used.
        """
        self._args = args
        trainer = self._made(args, model_seed)
        make_quiet(trainer, args)
        self._num_rows = self._length_of(trainer)
        return trainer

    def eval_dataset(self, trainer: Trainer) -> Any:
        """Return the first of a Trainer's held-out rows, None where it has none or none were asked for."""
        rows: Any = trainer.eval_dataset
        if isinstance(rows, dict):  # several, by name
            rows = next(iter(rows.values()), None)
        return None if rows is None or not self._eval_rows else _first(rows, self._eval_rows)

    def check_repeats(self, trainer: Trainer, model_seed: int) -> None:
        """Raise unless the user's code makes the same weights again from the same seed.

        Args:
            trainer: that it made from this seed, never trained.
            model_seed: its seed.

        Raises:
            UserError: the weights are others: trials could not be repeated, nor told from their seeds.
        """
        made, again = trainer.model.state_dict(), self.model(model_seed).state_dict()
        if made.keys() != again.keys():
            raise UserError("it makes another model each time", MAKE_ANEW, key=self._key)
        differing = [name for name, value in made.items() if not _is_same(value, again[name])]
        if differing:
            raise UserError(f"the model's first weights are not the same each time: {differing[0]}",
                            f"draw them from torch's own generator, which is seeded before; {MAKE_ANEW}",
                            key=self._key)  # fmt: skip

    def _made(self, args: TrainingArguments, model_seed: int) -> Trainer:
        with self.surroundings():
            set_seed(model_seed)
            trainer = self._make(args)
        if not isinstance(trainer, transformers.Trainer):
            raise UserError(f"it returned {_a(trainer)}, and no transformers.Trainer",
                            "return the Trainer itself, before train() is called", key=self._key)  # fmt: skip
        if trainer.state.global_step:
            raise UserError(f"the Trainer has been trained for {trainer.state.global_step} steps already",
                            "return it before train() is called", key=self._key)  # fmt: skip
        self._check_fresh(trainer)
        return trainer

    def _check_fresh(self, trainer: Trainer) -> None:
        """Raise for weights that another trial has trained: they would stay, and so would its precision.

        Weights that are never trained may well be shared: a frozen model under adapters.
        """
        model: Any = trainer.model
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        is_known = any(self._trained.get(id(weight), _nothing)() is weight for weight in weights)
        if is_known or getattr(model, "_is_accelerate_prepared", False):
            raise UserError(
                "the Trainer's model is one that another trial was given before", MAKE_ANEW, key=self._key
            )
        self._trained = {place: known for place, known in self._trained.items() if known() is not None}
        self._trained |= {id(weight): weakref.ref(weight) for weight in weights}

    def _length_of(self, trainer: Trainer) -> int:
        """Return the rows of a Trainer's training data; 0 for a stream."""
        rows: Any = trainer.train_dataset
        with self.surroundings():
            try:
                rows = rows if rows is not None else trainer.get_train_dataloader().dataset
            except (ValueError, AttributeError):
                raise UserError("the Trainer has no training data", "give it a train_dataset",
                                key=self._key) from None  # fmt: skip
            try:
                length = len(rows)
            except TypeError:
                return 0
        if not length:
            raise UserError("the Trainer's training data have no rows", "check what it reads", key=self._key)
        return int(length)

    def _known_arguments(self) -> TrainingArguments:
        """Return the arguments of the last Trainer; before the first, those of a CPU."""
        if self._args is None:
            folder = tempfile.gettempdir()
            self._args = TrainingArguments(output_dir=folder, use_cpu=True, report_to="none", max_steps=1)
        return self._args


def _first(rows: Any, number: int) -> Any:
    """Return the first rows of a data set of any kind; of a stream of torch's in a list."""
    if hasattr(rows, "__len__"):
        places = range(min(number, len(rows)))
        return rows.select(places) if hasattr(rows, "select") else Subset(rows, places)
    return rows.take(number) if hasattr(rows, "take") else list(itertools.islice(rows, number))


def _nothing() -> None:
    return None


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors hold the same bits; NaN is the same as itself here."""
    is_alike = one.shape == other.shape and one.dtype == other.dtype
    return is_alike and torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


def _a(thing: Any) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def to_mend(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error of the user's code: install what it lacks, or ``otherwise``.

    A part that is missing from an installed package is no package to install, and neither is a
    requirement that an error of ``importlib.metadata`` spells out in a sentence.

    >>> to_mend(ModuleNotFoundError("no", name="not_there.metrics"), "mend it").partition(",")[0]
    'pip install not_there'
    >>> to_mend(ModuleNotFoundError("no", name="torch.not_there"), "mend it")
    'mend it'
    """
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    package = name.partition(".")[0]
    if not package.isidentifier() or package in sys.modules:
        return otherwise
    package = NAMED_OTHERWISE.get(package, package)
    return f"pip install {package}, where stabsearch runs; a module of your own has to lie beside your code"


def without_length(error: BaseException) -> UserError | None:
    """Return what to do about a stream that the full run passes over in epochs; None for any other error."""
    if NEEDS_STEPS not in str(error):
        return None
    return UserError("the Trainer's training data are a stream, and have no length to count epochs in",
                     "write training.max_steps instead", key=("training", "num_train_epochs"))  # fmt: skip
