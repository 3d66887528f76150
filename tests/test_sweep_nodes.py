"""A sweep over two hosts, one of which is powered off in the middle and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_runs import SLOW, Home, check_whole

from experiments.on_loopback.hosts import can_have_hosts, hosts
from stabsearch.search.stored import LOSSES, NODE_LOSSES, read_study, records_in

LONG = ("budget.trials=24", "budget.horizon=300", "search.tolerance=null")
pytestmark = pytest.mark.ray


@pytest.mark.skipif(
    not can_have_hosts(), reason="making hosts takes root and Linux's ip and unshare; CI has them"
)
def test_a_host_that_is_powered_off_costs_nothing_but_time(tmp_path: Path) -> None:
    """What ran there runs again elsewhere, no trial is blamed for it, and the host is used again later."""
    home = Home.made(tmp_path, "ray")
    with hosts() as two:
        two.start_worker()
        running = home.start(
            "--address", two.address, settings=(*SLOW, *LONG),
            within=two.inside, env=two.environment,
        )  # fmt: skip
        done = 1
        running.wait_for(done)
        while f"{two.name}b" not in machines(home):
            done += 1
            running.wait_for(done)
        two.power_off_worker()
        running.wait_for(done + 2)
        two.start_worker()
        code, _, seen = running.ended()
        assert code in {0, 2}, seen  # an answer, or too little seen for one
    study = read_study(home.folder)
    records = records_in(study)
    assert machines(home) == {f"{two.name}a", f"{two.name}b"}
    assert sum(trial.user_attrs.get(NODE_LOSSES, 0) for trial in study.trials) >= 1
    assert not [trial.number for trial in study.trials if LOSSES in trial.user_attrs]
    assert max(record.attempts for record in records) >= 2
    check_whole(home, len(records))


def machines(home: Home) -> set[str]:
    """Return the hosts that trials ran on so far."""
    return {record.machine["host"] for record in records_in(read_study(home.folder))}
