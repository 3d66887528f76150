"""Watched trainings in one of two processes, as a user's own script would be run, and what came of each."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from odd_models import RootTrainer, Weighted
from own_trainers import make
from torch import distributed
from transformers import Trainer

from stabsearch.capture.bits import digest
from stabsearch.trial.joining import join
from stabsearch.trial.setup import TrialSetup
from stabsearch.trial.watch import NonfiniteUpdate, OnFailure, TrainingBroke, watch

NAN = Weighted(24, bad=(7,))
NO_SLOPE = Weighted(24, bad=(7,), weight=0.0)


def said(trainer: Trainer) -> dict[str, Any]:
    """Train, and return what was raised, warned of and left behind."""
    broke: TrainingBroke | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            trainer.train()
        except TrainingBroke as error:
            broke = error
    return {
        "steps": trainer.state.global_step,
        "weights": digest(trainer.model.parameters()),
        "message": str(broke) if broke else "",
        "bundle": str(broke.bundle) if broke and broke.bundle else "",
        "warnings": [str(one.message) for one in caught if issubclass(one.category, NonfiniteUpdate)],
    }


def trainings(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each of several trainings said."""

    def watched(mode: OnFailure, **made: Any) -> dict[str, Any]:
        place = folder / f"{mode}-{made.get('trainer_class', Trainer).__name__}"
        return said(watch(make(**made), mode, place))

    return {
        "unwatched": said(make()),
        "healthy": watched("raise"),
        "raise": watched("raise", rows=NAN),
        "stop": watched("stop", rows=NAN),
        "warn": watched("warn", rows=NAN),
        "accumulated": watched("warn", rows=NAN, gradient_accumulation_steps=2),
        "fp16": watched("warn", rows=NAN, fp16=True),
        "gradient": watched("raise", rows=NO_SLOPE, trainer_class=RootTrainer),
        "gradient passed over": watched("warn", rows=NO_SLOPE, trainer_class=RootTrainer),
    }


if __name__ == "__main__":
    home = Path(sys.argv[1])
    join(home / "meeting", TrialSetup(1, num_processes=int(os.environ["WORLD_SIZE"])), timeout_s=60.0)
    (home / f"said-{os.environ['RANK']}.json").write_text(json.dumps(trainings(home)))
    distributed.barrier()
    distributed.destroy_process_group()
    # threads of the group outlive it: left to the interpreter's end, they sometimes abort the process
    os._exit(0)
