"""Things that are expensive to build, shared by the tests of this room."""

import pytest
import torch
from trial_samples import build_tiny

from stabsearch.task.workload import RowWorkload


@pytest.fixture(scope="session")
def tiny() -> RowWorkload:
    """Return a BERT of width 16 on 64 generated sentences."""
    torch.set_num_threads(1)
    return build_tiny()
