"""The mirror against a real MLflow server on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tracking_samples import failed_record, make_frontier, make_mirror, make_record, make_sweep, stop_group

from stabsearch.tracking.experiment import connect

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mlflow_server


def test_a_sweep_is_shown_on_a_server_that_then_goes_away(server: tuple[str, int], tmp_path: Path) -> None:
    """Runs and files arrive at a server; when it is gone, the next sweep's end says so and goes on."""
    url, pid = server
    sweep, folder = make_sweep(url), tmp_path / "quick"
    folder.mkdir()
    (folder / "report.md").write_text("# Report")
    mirror = make_mirror(sweep, folder)
    mirror.check()
    mirror.record(make_record(0))
    delivery = mirror.close([make_record(0), failed_record(1)], None, make_frontier(), "FINISHED")
    assert (delivery.problem, delivery.missing) == ("", 0)
    assert delivery.url.startswith(f"{url}/#/experiments/")
    client = connect(url)
    parent = client.get_run(delivery.run_id)
    assert parent.info.status == "FINISHED"
    assert len(client.search_runs([parent.info.experiment_id], "tags.`stabsearch.outcome` != ''")) == 2
    assert [item.path for item in client.list_artifacts(delivery.run_id)] == ["report.md"]
    assert len(client.search_model_versions("name = 'quick-frontier'")) == 1

    again = make_mirror(sweep, folder, flush_s=0.5)
    stop_group(pid)
    again.record(make_record(2))
    delivery = again.close([make_record(0), failed_record(1), make_record(2)], None, None, "FINISHED")
    assert delivery.missing > 0
    assert delivery.problem
