"""What knowing the marginals of the labels alone would cost a Trainer, in the units of its own loss.

Built-in tasks know it; of the user's own code it is found out here: the labels that its collator makes
are counted, and its loss is asked what it says of a model that puts out their marginals.
Shape letters: N labels (one per row, or per token), K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from stabsearch.forensics.facts.batch import batch_of
from stabsearch.forensics.facts.probe import MOST_OPERATIONS, num_weights
from stabsearch.forensics.facts.target import LossKind, Target, base_model, target_of

MOST_ROWS = 1024
"""Rows whose labels are counted, spread over all: a second or two of collating."""
ROWS_PER_BATCH = 32
MOST_MEASURED = 256  # chosen: a mean over as many rows is within a few percent
ALMOST_NEVER = 1e-9
"""Stands in for a share of zero, whose logit would not be finite."""
ROUNDING = 1e-4  # chosen: losses in fp32, summed in another order
HEADS = ("classifier", "score", "classification_head", "logits_proj", "head")
"""What Transformers calls the last part of a model that has no output embeddings."""


def chance_loss_of(trainer: Any) -> float | None:
    """Return the loss of a model that knows the marginals of the labels and nothing of the rows.

    The Trainer is not fit for training afterwards: its own loss may have counted what it saw.

    Args:
        trainer: any ``transformers.Trainer``, not started.

    Returns:
        None where it cannot be told: a stream, no labels, a loss that is not Transformers' on a model whose
        last part nobody knows, or one that takes too long to run.
    """
    try:
        batches = list(_batches(trainer))
        return _chance(trainer, batches) if batches else None
    except Exception:  # noqa: BLE001 - any code of the user's; the sweep goes on without this number
        return None


def _batches(trainer: Any) -> Iterator[Mapping[str, Any]]:
    """Return rows from all over the training data as the Trainer's collator makes batches of them."""
    try:
        num_rows = len(trainer.train_dataset)
    except TypeError:
        return
    step = max(1, math.ceil(num_rows / MOST_ROWS))
    rows = range(0, num_rows, step)
    for start in range(0, len(rows), ROWS_PER_BATCH):
        batch = batch_of(trainer, tuple(rows[start : start + ROWS_PER_BATCH]), ())
        if batch.labels is None or not batch.labels.is_tensor:
            return
        yield batch.inputs


def _chance(trainer: Any, batches: list[Mapping[str, Any]]) -> float | None:
    name = next(name for name in trainer.label_names or ["labels"] if name in batches[0])
    labels = [batch[name] for batch in batches]
    target = target_of(trainer, str(labels[0].dtype).removeprefix("torch."))
    if target.kind is LossKind.OTHER:
        return None
    labels_N = _counted(labels, target)
    is_stock = target.is_known and not target.label_smoothing
    with _evaluating(trainer.model):
        if is_stock or _is_models_own(trainer, batches):
            return _entropy(labels_N, target, is_whole=len(trainer.train_dataset) <= MOST_ROWS)
        return _measured(trainer, batches, marginals(labels_N, target))


def _counted(labels: list[torch.Tensor], target: Target) -> torch.Tensor:
    """Return the labels that count: [N] ids, or [N, K] numbers."""
    if not target.kind.is_cross_entropy:
        return torch.cat([each.reshape(len(each), -1) for each in labels]).double()
    # a causal model's outputs are compared with the label after them: nothing predicts the first
    flat = torch.cat([(each[..., 1:] if target.shifts else each).reshape(-1) for each in labels])
    return flat[flat != target.ignore_index]


def marginals(labels_N: torch.Tensor, target: Target) -> torch.Tensor:
    """Return what a model puts out that knows the marginals alone: [K] logits, or means."""
    if target.kind is LossKind.REGRESSION:
        return labels_N.mean(dim=0)
    if target.kind is LossKind.MULTI_LABEL:
        return torch.logit(labels_N.mean(dim=0), eps=ALMOST_NEVER)
    share_K = torch.bincount(labels_N, minlength=target.num_labels).double() / len(labels_N)
    return share_K.clamp_min(ALMOST_NEVER).log()


def _entropy(labels_N: torch.Tensor, target: Target, is_whole: bool) -> float:
    """Return the loss of the marginals by its formula, nats per label; of a sample, corrected for its size.

    Source of the correction: Miller 1955, a sample's entropy is (K - 1) / 2N too low.
    """
    if target.kind is LossKind.REGRESSION:
        return float(labels_N.var(dim=0, correction=0).mean())
    if target.kind is LossKind.MULTI_LABEL:
        share_K = labels_N.mean(dim=0)
        return float((torch.special.entr(share_K) + torch.special.entr(1 - share_K)).mean())
    counts = torch.unique(labels_N, return_counts=True)[1].double()
    entropy = float(torch.special.entr(counts / counts.sum()).sum())
    return entropy if is_whole else entropy + (len(counts) - 1) / (2 * len(labels_N))


def _is_models_own(trainer: Any, batches: list[Mapping[str, Any]]) -> bool:
    """Return whether a Trainer's own loss comes to that of its model: many only count something beside it."""
    if _size(trainer.model, batches[:1]) > MOST_OPERATIONS:
        return False
    try:
        of_model = float(trainer.model(**trainer._prepare_inputs(dict(batches[0])))["loss"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        return False  # it takes a batch only as the Trainer's loss hands it over
    return math.isclose(_loss(trainer, batches[0]), of_model, rel_tol=ROUNDING)


def _measured(trainer: Any, batches: list[Mapping[str, Any]], output_K: torch.Tensor) -> float | None:
    """Return what the Trainer's own loss says, on average, of a model that always puts out the same."""
    head, batches = head_of(base_model(trainer.model)), batches[: MOST_MEASURED // ROWS_PER_BATCH]
    if head is None or _size(trainer.model, batches) > MOST_OPERATIONS:
        return None
    with always_out(head, output_K) as calls:
        losses = [_loss(trainer, batch) for batch in batches]
    loss = sum(losses) / len(losses)
    return loss if calls and math.isfinite(loss) else None


def _loss(trainer: Any, batch: Mapping[str, Any]) -> float:
    return float(trainer.compute_loss(trainer.model, trainer._prepare_inputs(dict(batch))))


def _size(model: Any, batches: list[Mapping[str, Any]]) -> float:
    """Return about how many operations a forward takes: two per weight and token."""
    num_tokens: int = sum(next(iter(batch.values())).numel() for batch in batches)
    return 2.0 * num_weights(model) * num_tokens


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Keep dropout and gradients out of it."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def head_of(model: Any) -> Any:
    """Return the part of a model that makes its logits or numbers; None where nobody knows it."""
    found = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return found or next((getattr(model, name) for name in HEADS if hasattr(model, name)), None)


@contextmanager
def always_out(head: torch.nn.Module, output_K: torch.Tensor) -> Iterator[list[None]]:
    """Make a module put out the same at every place; gives a list with an entry for each time it was asked.

    Outputs beyond those of the labels, such as tokens that no row has, are as good as impossible.
    """
    calls: list[None] = []

    def instead(_: Any, __: Any, made: torch.Tensor) -> torch.Tensor:
        calls.append(None)
        unseen = made.new_full((made.shape[-1] - len(output_K),), math.log(ALMOST_NEVER))
        return torch.cat([output_K.to(made), unseen]).expand_as(made)

    hook = head.register_forward_hook(instead)
    try:
        yield calls
    finally:
        hook.remove()
