"""Would K small trials be faster as one batched model? `python experiments/stacked_trials.py`.

K trials that differ in seed and learning rate, as one model whose weights have one more axis
(`torch.func.stack_module_state`, `vmap`), each with its own clip norm, AdamW state and a freeze at its first
non-finite number, against the same trials one after another: in a bare loop, and as stabsearch runs them
(Trainer, guard, judge, start and end of the trial). Interleaved round by round, processor time, one thread,
no dropout. First it checks that both give the same losses and that the same trials fail.

Shape letters: K trials, B rows, L tokens.
"""

from __future__ import annotations

import copy
import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from stabsearch.config import QuickstartTask
from stabsearch.records import Stage, TrialPlan
from stabsearch.task.registry import build_workload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

SIZES = {"width 8, 1 layer": (8, 1), "width 32, 1 layer": (32, 1), "width 64, 2 layers": (64, 2),
         "width 128, 2 layers": (128, 2), "width 256, 4 layers": (256, 4)}  # fmt: skip
STACKS = (4, 16, 32)
ROUNDS = 10
BATCH, LENGTH = 16, 20
CLIP, BETAS, EPSILON = 1.0, (0.9, 0.999), 1e-8
SAME_STEPS = 20
RATES = (1e-4, 1e-3, 1e-2, 1e20)
"""The last one breaks: both ways have to say so, at the same step."""


def batches(num_trials: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids [K, B, L] and labels [K, B] of a step."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(2, 100, (num_trials, BATCH, LENGTH), generator=generator)
    return ids, torch.randint(0, 4, (num_trials, BATCH), generator=generator)


def fresh_model(workload: Any, seed: int) -> Any:
    """Return a model in training mode without dropout, with attention that `vmap` can batch."""
    model = workload.model(seed)
    model.set_attn_implementation("eager")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


@dataclass
class Stacked:
    """K trials as one model."""

    models: list[Any]
    rates_K: torch.Tensor
    step_number: int = 0
    broken_at: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights, self.buffers = stack_module_state(self.models)
        for weight in self.weights.values():
            weight.requires_grad_(False)
        self.skeleton = copy.deepcopy(self.models[0]).to("meta")
        self.first = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.second = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.gradients = vmap(grad_and_value(self._loss))
        self.is_alive_K = torch.ones(len(self.models), dtype=torch.bool)

    def _loss(self, weights: Any, buffers: Any, ids: Any, mask: Any, labels: Any) -> Any:
        inputs = {"input_ids": ids, "attention_mask": mask}
        outputs = functional_call(self.skeleton, (weights, buffers), args=(), kwargs=inputs)
        return torch.nn.functional.cross_entropy(outputs.logits, labels)

    @torch.no_grad()
    def step(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Train one step; return the losses [K]. A trial that broke keeps its weights."""
        self.step_number += 1
        mask = torch.ones(len(ids), BATCH, 1, LENGTH, LENGTH, dtype=torch.bool)
        gradients, loss_K = self.gradients(self.weights, self.buffers, ids, mask, labels)
        squares = [gradient.reshape(len(ids), -1).square().sum(1) for gradient in gradients.values()]
        norm_K = torch.stack(squares).sum(0).sqrt()
        is_good_K = torch.isfinite(loss_K) & torch.isfinite(norm_K)
        for trial in (self.is_alive_K & ~is_good_K).nonzero().flatten().tolist():
            self.broken_at[trial] = self.step_number
        self.is_alive_K &= is_good_K
        self._update(gradients, (CLIP / (norm_K + 1e-6)).clamp(max=1.0))
        return loss_K

    def _update(self, gradients: dict[str, torch.Tensor], clip_K: torch.Tensor) -> None:
        bias = [1 - beta**self.step_number for beta in BETAS]
        for name, weight in self.weights.items():
            shape = (-1,) + (1,) * (weight.dim() - 1)
            alive = self.is_alive_K.view(shape)
            gradient = torch.where(alive, gradients[name] * clip_K.view(shape), 0.0)
            self.first[name].lerp_(gradient, 1 - BETAS[0])
            self.second[name].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            change = (self.first[name] / bias[0]) / ((self.second[name] / bias[1]).sqrt() + EPSILON)
            weight.sub_(torch.where(alive, self.rates_K.view(shape) * change, 0.0))


@dataclass
class Single:
    """One trial in a bare loop."""

    model: Any
    rate: float

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.rate, betas=BETAS, eps=EPSILON, weight_decay=0.0, fused=True
        )

    def step(self, ids: torch.Tensor, labels: torch.Tensor) -> float:
        """Train one step; return the loss, NaN or infinite where it broke, and then keep the weights."""
        mask = torch.ones(BATCH, LENGTH, dtype=torch.long)
        loss = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
        value = float(loss.detach())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        if torch.isfinite(loss) and torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return value


def check_equal(workload: Any) -> str:
    """Return how far the losses of both ways differ, and which trials broke when."""
    stacked = Stacked([fresh_model(workload, seed) for seed in range(len(RATES))], torch.tensor(RATES))
    singles = [Single(fresh_model(workload, seed), rate) for seed, rate in enumerate(RATES)]
    broken: dict[int, int] = {}
    worst = 0.0
    for step in range(1, SAME_STEPS + 1):
        ids, labels = batches(len(RATES), step)
        together = stacked.step(ids, labels).tolist()
        for trial, single in enumerate(singles):
            alone = single.step(ids[trial], labels[trial])
            if alone != alone or abs(alone) == float("inf"):
                broken.setdefault(trial, step)
            elif trial not in broken:
                worst = max(worst, abs(alone - together[trial]))
    return f"largest difference of a loss {worst:.1e}; broke {stacked.broken_at} and {broken}"


def guarded_step_s(workload: Any, number: int, steps: int = 30) -> float:
    """Return processor seconds per step of a trial as stabsearch runs it, everything included."""
    plan = TrialPlan(number, Stage.SEARCH, 1e-4, 0, CLIP, "fp32", number, number, steps)
    training = {"per_device_train_batch_size": BATCH}
    began = time.process_time()
    record = run_trial(plan, workload, TrialSetup(max_steps=1000, training=training))
    assert record.steps == steps, record.message
    return (time.process_time() - began) / steps


def compare(name: str, size: tuple[int, int], num_trials: int) -> str:
    """Return one line of the table."""
    workload = build_workload(QuickstartTask(hidden_size=size[0], num_hidden_layers=size[1]))
    stacked = Stacked(
        [fresh_model(workload, seed) for seed in range(num_trials)], torch.full((num_trials,), 1e-4)
    )
    single = Single(fresh_model(workload, 0), 1e-4)
    guarded_step_s(workload, 0)
    gc.collect()
    gc.freeze()  # as a worker does
    times: dict[str, list[float]] = {"bare": [], "guarded": [], "stacked": []}
    for step in range(ROUNDS + 2):
        ids, labels = batches(num_trials, step)
        began = time.process_time()
        for trial in range(min(num_trials, 8)):
            single.step(ids[trial], labels[trial])
        times["bare"].append((time.process_time() - began) / min(num_trials, 8))
        began = time.process_time()
        stacked.step(ids, labels)
        times["stacked"].append((time.process_time() - began) / num_trials)
        times["guarded"].append(guarded_step_s(workload, step + 1))
    bare, guarded, per_trial = (statistics.median(values[2:]) * 1e3 for values in times.values())
    return (
        f"| {name} | {num_trials} | {bare:.2f} | {guarded:.2f} | {per_trial:.2f} | "
        f"{bare / per_trial:.2f} | {guarded / per_trial:.2f} |"
    )


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, batch {BATCH} x {LENGTH} tokens, medians of {ROUNDS} rounds")
    print(check_equal(build_workload(QuickstartTask(hidden_size=32, num_hidden_layers=1))))
    print(
        "\n| model | trials | bare, ms per step | guarded | stacked, per trial | bare / stacked "
        "| guarded / stacked |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, size in SIZES.items():
        for num_trials in STACKS:
            print(compare(name, size, num_trials), flush=True)


if __name__ == "__main__":
    main()
