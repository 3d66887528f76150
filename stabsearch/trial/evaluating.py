"""What a trial that survived comes to on held-out rows, at its horizon."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from stabsearch.records import Outcome, Stage, TrialRecord
from stabsearch.task.base import eval_dataset_of
from stabsearch.trial.ended import Ended

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.live import LiveTrial


def evaluated(record: TrialRecord, live: LiveTrial, workload: Workload) -> Ended:
    """Return the trial with its loss on held-out rows, where there are any and it survived.

    Everything that the trial measures is in the record already: an evaluation that fails takes nothing
    away from it, and is said. Of several processes all take part, so those that have not failed still wait
    for what this one has to give. Ramps are left out: no run trains so.
    """
    if record.outcome is not Outcome.STABLE or record.plan.stage is Stage.RAMP:
        return Ended(record)
    trainer = live.guard.trainer
    try:
        rows = eval_dataset_of(workload, trainer)
        if rows is None:
            return Ended(record)
        with live.guard.paused():
            trainer.compute_metrics = None  # the loss is all that is asked for
            loss = trainer.evaluate(rows).get("eval_loss", math.nan)
    except Exception as error:  # noqa: BLE001 - what was measured must not be lost to what comes on top
        reason = (str(error).strip() or "no message").splitlines()[0]
        note = f"; it could not be evaluated: {type(error).__name__}: {reason}"
        return Ended(replace(record, message=record.message + note), has_raised=True)
    return Ended(replace(record, eval_loss=float(loss)))
