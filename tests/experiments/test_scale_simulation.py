"""The simulated sweep of the scale experiment, in small: nothing lost, nothing doubled, always the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.scale import results
from experiments.scale.aside import report, resume
from experiments.scale.curves import draw
from experiments.scale.setting import Setting
from experiments.scale.simulate import Simulated, simulate
from experiments.scale.tracker import CountingClient
from experiments.scale.world import World
from stabsearch.frontier.labels import relabel
from stabsearch.records import Stage, TrialPlan, TrialRecord

SMALL = Setting(trials=44, slots=12, loss_share=0.15)
FAULTS = (
    "missing", "doubled", "told twice", "never told", "given up", "wrong attempts", "starts without end",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated") / "scale"


@pytest.fixture(scope="module")
def simulated(folder: Path) -> Simulated:
    return simulate(SMALL, folder, sample_at=(20, 40))


def test_lost_workers_cost_no_trial(simulated: Simulated) -> None:
    """Every trial of the budget has one record, whatever workers went away; and workers did go away."""
    counts = simulated.counts()
    assert counts["trials"] == SMALL.trials
    assert counts["workers lost"] > 2
    assert counts["starts"] == SMALL.trials + counts["workers lost"]
    assert {name: counts[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)


def test_the_slots_are_full_and_no_more(simulated: Simulated) -> None:
    """As many trials run at a time as there is room for."""
    assert simulated.most_in_flight == SMALL.slots


def test_counts_tell_what_went_wrong(simulated: Simulated) -> None:
    """A trial that is gone, one told twice, and one that was given up are each seen."""
    broken = Simulated(
        SMALL, records=[*simulated.records[2:], simulated.records[5]], starts=simulated.starts.copy(),
        lost_starts=simulated.lost_starts, ended=[*simulated.ended, simulated.ended[3]],
    )  # fmt: skip
    counts = broken.counts()
    assert (counts["missing"], counts["doubled"], counts["told twice"]) == (2, 1, 1)
    assert counts["starts without end"] == -1
    assert counts["wrong attempts"] == 2


def test_the_same_sweep_proposes_the_same_trials(tmp_path: Path) -> None:
    """Whatever is kept from earlier sweeps, and in a database as in a journal."""
    tiny = replace(SMALL, trials=16, slots=5)
    in_journal = simulate(tiny, tmp_path / "journal" / "scale")
    in_database = simulate(replace(tiny, storage="sqlite"), tmp_path / "database" / "scale")
    assert list(map(_what, in_journal.records)) == list(map(_what, in_database.records))


def test_labels_are_those_of_all_trials_together(simulated: Simulated, folder: Path) -> None:
    """What the study kept from trial to trial is what a fresh look at all records gives."""
    fresh = [TrialRecord.from_json(record.to_json()) for record in simulated.records]
    rules = SMALL.prepared(folder).sweep.outcomes
    assert [_what(record) for record in relabel(fresh, rules)] == [_what(r) for r in simulated.records]


def test_samples_are_taken_where_asked(simulated: Simulated) -> None:
    """Time, memory and disk only grow."""
    first, second = simulated.samples
    assert (first.ended, second.ended) == (20, 40)
    assert 0 < sum(first.seconds.values()) <= sum(second.seconds.values())
    assert first.study_bytes < second.study_bytes
    assert first.virtual_s < second.virtual_s
    assert set(results.SECTIONS) >= set(second.seconds)


def test_a_study_is_gone_on_with_and_reported(simulated: Simulated, folder: Path) -> None:
    """What is measured aside is the real thing: all records are there, and the reports are written."""
    gone_on = resume(SMALL, folder)
    assert (gone_on["resume_records"], gone_on["resume_unfinished"]) == (len(simulated.records), 0)
    written = report(SMALL, folder)
    assert written["trials.csv_bytes"] == (folder / "trials.csv").stat().st_size > 0
    assert (folder / "trials.csv").read_text(encoding="utf-8").count("\n") == SMALL.trials + 1


def test_rows_become_a_picture(simulated: Simulated, tmp_path: Path) -> None:
    """The table holds times per trial, and the curves are drawn from the table."""
    further = {
        sample.ended: {"resume_memory_bytes": 1, "resume_open_s": 1.0, "resume_first_trial_s": 1.0,
                       "report_read_s": 1.0, "report_write_s": 1.0}
        for sample in simulated.samples
    }  # fmt: skip
    rows = results.rows_of(simulated.samples, further, {"storage": "journal", "machine": "a test"})
    spent_s = sum(simulated.samples[1].seconds.values()) - sum(simulated.samples[0].seconds.values())
    assert rows[1]["driver_ms"] == pytest.approx(1000 * spent_s / 20)
    results.write(tmp_path / "rows.csv", rows)
    results.write(tmp_path / "requests.csv", [{"requests_per_trial": 3.0}])
    draw(tmp_path / "rows.csv", tmp_path / "requests.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_trial_is_the_same_wherever_it_is_run() -> None:
    """A retried trial gives the record that the lost worker would have given."""
    plan = TrialPlan(7, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", model_seed=5, data_seed=6, horizon=200)
    one, other = World(), World()
    first, second = one.record(plan, 0.0, 60.0, slot=0), other.record(plan, 9.0, 80.0, slot=900)
    assert (first.outcome, first.trace, first.steps) == (second.outcome, second.trace, second.steps)
    assert one.duration_s(plan, 1) != one.duration_s(plan, 2)


def test_requests_are_counted_but_not_those_that_are_never_sent() -> None:
    """MLflow's client sends no batch without content."""

    class Client:
        def create_run(self, name: str) -> str:
            return name

        def log_batch(self, run_id: str, **_: object) -> None:
            """Take anything."""

    client = CountingClient(Client())  # type: ignore[arg-type]
    assert client.create_run("one") == "one"
    client.log_batch("one", metrics=[], params=[], tags=[])
    client.log_batch("one", metrics=[1], params=[], tags=[])
    assert dict(client.counts) == {"create_run": 1, "log_batch": 1}


def _what(record: TrialRecord) -> str:
    return json.dumps(record.to_json())
