"""The random seeds of a trial: from the sweep's seed and the trial's number alone."""

from __future__ import annotations

import numpy as np


def trial_seeds(seed: int, number: int) -> tuple[int, int]:
    """Return model and data seed of a trial.

    >>> trial_seeds(0, 1) == trial_seeds(0, 1) != trial_seeds(0, 2)
    True
    """
    model_seed, data_seed = np.random.SeedSequence((seed, number)).generate_state(2) >> 1
    return int(model_seed), int(data_seed)
