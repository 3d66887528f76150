"""The bundles that several files replay, captured once."""

from pathlib import Path

import pytest
from fresh_process import HERE, run_afresh
from replay_cases import CASES, CHANGED, TRUSTED, Captured
from replay_samples import broken


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """Return trials that broke, and what another process says of their bundles."""
    folder = tmp_path_factory.mktemp("bundles")
    homes = {name: folder / name.replace(" ", "-") for name in CASES}
    records = {
        name: broken(homes[name], case.task, case.trial, **case.training) for name, case in CASES.items()
    }
    bundles = {name: homes[name] / record.bundle for name, record in records.items()}
    commands = {
        **{name: ("replay", bundle, *TRUSTED) for name, bundle in bundles.items()},
        **{name: ("replay", bundles[case], *changes, *TRUSTED) for name, (case, *changes) in CHANGED.items()},
    }
    answers = run_afresh(list(commands.values()), [HERE, Path(__file__).parent])
    return Captured(records, bundles, dict(zip(commands, answers, strict=True)))
