"""A plain Ray Tune function trainable with a Trainer inside; rows and model come by the object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.speed_benchmark.events import Clock
from experiments.speed_benchmark.methods.own_ray import own_ray, per_trial
from experiments.speed_benchmark.setting import RATES, Setting


def run(setting: Setting, folder: Path) -> None:
    """Run as many samples as there are trials."""
    from ray import tune

    with own_ray(setting):
        trainable = tune.with_parameters(_train, setting=setting, workload=setting.workload, folder=folder)
        tune.Tuner(
            tune.with_resources(trainable, per_trial(setting)),
            param_space={"learning_rate": tune.loguniform(*RATES)},
            tune_config=tune.TuneConfig(num_samples=setting.trials, metric="loss", mode="min"),
            run_config=tune.RunConfig(storage_path=str(folder / "ray_results"), verbose=0),
        ).fit()


def _train(config: dict[str, Any], setting: Setting, workload: Any, folder: Path) -> None:
    from ray import tune
    from transformers import Trainer

    trainer = Trainer(
        model=workload.model(0), args=setting.arguments(folder, learning_rate=config["learning_rate"]),
        train_dataset=workload.rows, data_collator=workload.collator, callbacks=[Clock(folder)],
    )  # fmt: skip
    tune.report({"loss": trainer.train().training_loss})
