"""The mirror against a real MLflow database."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import ViewType
from tracking_samples import (
    SWEEP_ID,
    Flaky,
    failed_record,
    make_frontier,
    make_mirror,
    make_record,
    make_sweep,
)

from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.records import Cause, Context, Grade, Outcome, StepTrace
from stabsearch.tracking import Look, mlflow_mirror
from stabsearch.tracking.parent import Parent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stabsearch.config import Sweep
    from stabsearch.records import TrialRecord
    from stabsearch.tracking import Delivery

ANSWER = Answer(
    verdict=Verdict.CONFIRMED,
    sentence="Up to 0.0012 is safe.",
    recommendation=Recommendation(Context("bf16", 100, 1.0), 0.0012, 0.05, 0.01, 0.09),
    confirmation=Confirmation(22, 22, 0, 0.099),
    horizon=120,
    max_steps=2000,
    caveats=("Measured for 6 % of the full run.",),
)


def mirror_all(sweep: Sweep, folder: Path, records: Sequence[TrialRecord], **end: Any) -> Delivery:
    """Return the delivery of a whole sweep, told trial by trial."""
    mirror = make_mirror(sweep, folder)
    for record in records:
        mirror.record(record)
    return mirror.close(records, end.get("answer"), end.get("frontier"), end.get("status", "FINISHED"))


def runs(client: MlflowClient) -> tuple[Run, dict[int, Run]]:
    """Return the run of the sweep and those of its trials, by number."""
    experiment = client.get_experiment_by_name("mine")
    found = list(client.search_runs([experiment.experiment_id]))
    (parent,) = [run for run in found if "stabsearch.number" not in run.data.tags]
    children = {int(run.data.tags["stabsearch.number"]): run for run in found if run is not parent}
    assert len(children) == len(found) - 1
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} <= {parent.info.run_id}
    return parent, children


def test_a_sweep_is_one_parent_with_one_child_per_trial(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """Every trial is one ended child with its own times, and the sweep's run has ended too."""
    lost = make_record(2, outcome=Outcome.LOST, grade=None, cause=Cause.UNKNOWN, started_at=0.0)
    delivery = mirror_all(sweep, folder, [make_record(0), failed_record(1), lost])
    parent, children = runs(client)
    assert (delivery.delivered, delivery.missing, delivery.problem) == (3, 0, "")
    assert delivery.run_id == parent.info.run_id
    assert (parent.info.run_name, parent.info.status) == ("quick", "FINISHED")
    assert [children[n].info.status for n in range(3)] == ["FINISHED", "FINISHED", "FAILED"]
    assert children[0].info.start_time == 1_700_000_000_000
    assert children[0].info.end_time == 1_700_000_002_500
    assert children[1].data.tags["stabsearch.outcome"] == "nonfinite"
    assert children[1].data.metrics["first_bad_step"] == 3.0
    assert children[1].info.run_name == "lr3e-4_w100_c1_bf16_s1"
    history = client.get_metric_history(children[0].info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.5), (2, 1.4), (3, 1.3)]


def test_the_parent_carries_the_answer(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """Verdict, recommended settings, note, settings of the sweep and its files are on the parent."""
    (folder / "report.html").write_text("<html></html>")
    (folder / "sweep.resolved.yaml").write_text("study: {storage: 'postgresql://ada:secret@db/x'}")
    mirror_all(sweep, folder, [make_record(0), failed_record(1)], answer=ANSWER)
    parent, _ = runs(client)
    tags, run_id = parent.data.tags, parent.info.run_id
    assert tags["stabsearch.verdict"] == "confirmed"
    assert tags["stabsearch.recommended.learning_rate"] == "0.0012"
    assert tags["stabsearch.recommended.precision"] == "bf16"
    assert "Up to 0.0012 is safe." in tags["mlflow.note.content"]
    assert "| nonfinite&ensp; | 1 |" in tags["mlflow.note.content"]
    assert parent.data.params["search.learning_rate.low"] == "1e-06"
    assert parent.data.params["optim"] == "adamw_torch"
    names = {item.path for item in client.list_artifacts(run_id)}
    assert names == {"report.html", "sweep.resolved.yaml"}
    shown = folder / "mlartifacts" / run_id / "artifacts" / "sweep.resolved.yaml"
    assert "secret" not in shown.read_text()


def test_a_drift_shows_its_verdict_and_its_files(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """A drift has a sentence in place of a sweep's answer."""
    for name in ("drift.json", "drift.md"):
        (folder / name).write_text("{}")
    mirror = make_mirror(sweep, folder)
    mirror.close([make_record(0)], None, None, "FINISHED", sentence="It still holds.", next_step="Keep it.")
    parent, _ = runs(client)
    assert parent.data.tags["mlflow.note.content"].startswith("It still holds.\n\nNext: Keep it.")
    assert {item.path for item in client.list_artifacts(parent.info.run_id)} == {"drift.json", "drift.md"}


def test_an_answer_that_changes_takes_its_tags_along(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """A recommendation that did not survive the resumed sweep is not left on the parent."""
    mirror_all(sweep, folder, [make_record(0)], answer=ANSWER)
    nothing = replace(ANSWER, verdict=Verdict.NOTHING_SAFE, recommendation=None)
    mirror_all(sweep, folder, [make_record(0)], answer=nothing)
    tags = runs(client)[0].data.tags
    assert tags["stabsearch.verdict"] == "nothing_safe"
    assert not [key for key in tags if key.startswith("stabsearch.recommended.")]


def test_telling_a_sweep_twice_changes_nothing(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """Running a finished sweep again finds its runs and adds neither run nor metric value."""
    records = [make_record(0), failed_record(1)]
    first = mirror_all(sweep, folder, records, answer=ANSWER)
    before = {number: run.info.run_id for number, run in runs(client)[1].items()}
    second = mirror_all(sweep, folder, records, answer=ANSWER)
    parent, children = runs(client)
    assert second == first
    assert {number: run.info.run_id for number, run in children.items()} == before
    assert len(client.get_metric_history(before[0], "failed")) == 1
    assert len(client.get_metric_history(before[0], "train_loss")) == 3
    assert parent.info.status == "FINISHED"


def test_an_interrupted_sweep_is_killed_and_opened_again(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """Ctrl-C shows as KILLED, the resumed sweep as RUNNING again, on the same run."""
    run_id = mirror_all(sweep, folder, [make_record(0)], status="KILLED").run_id
    assert runs(client)[0].info.status == "KILLED"
    mirror = make_mirror(sweep, folder)
    mirror.record(make_record(1))
    mirror._courier.finish(60)
    parent, children = runs(client)
    assert (parent.info.run_id, parent.info.status) == (run_id, "RUNNING")
    assert sorted(children) == [0, 1]


def test_a_child_left_by_a_dead_driver_is_completed(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """A driver killed between making a run and ending it leaves nothing RUNNING after the next one."""
    mirror_all(sweep, folder, [make_record(0)], status="KILLED")
    parent, children = runs(client)
    for number in (1, 2):
        tags = {**children[0].data.tags, "stabsearch.number": str(number)}
        tags["stabsearch.uid"] = f"{SWEEP_ID}/{number}"
        client.create_run(parent.info.experiment_id, 1_700_000_000_000 + 1000 * number, tags)
    mirror_all(sweep, folder, [make_record(0), make_record(1)])
    _, children = runs(client)
    assert [children[n].info.status for n in range(3)] == ["FINISHED", "FINISHED", "KILLED"]
    assert children[1].data.params["learning_rate"] == "0.0003"
    assert children[1].data.metrics["last_loss"] == 1.3


def test_duplicates_are_deleted(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """Two runs of one trial become one, and the complete one stays."""
    mirror_all(sweep, folder, [make_record(0)], status="KILLED")
    parent, children = runs(client)
    client.create_run(parent.info.experiment_id, 1_700_000_000_000, dict(children[0].data.tags))
    mirror_all(sweep, folder, [make_record(0)])
    assert runs(client)[1][0].info.run_id == children[0].info.run_id


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated", "create_experiment"])
def test_a_lost_reply_makes_no_second_run(
    call: str, sweep: Sweep, folder: Path, client: MlflowClient, flaky: Flaky
) -> None:
    """What arrived although its reply did not is found again, not done again."""
    flaky.lost_replies = [call, call]
    delivery = mirror_all(sweep, folder, [make_record(0), failed_record(1)])
    parent, children = runs(client)
    assert flaky.lost_replies == ([] if call != "create_experiment" else [call])
    assert delivery.is_complete
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    assert client.search_runs([parent.info.experiment_id], run_view_type=ViewType.DELETED_ONLY) == []


def test_a_relabelled_trial_is_corrected(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """A trial that turns out to have collapsed is shown so, and back again if it has not."""
    stable = make_record(0)
    collapsed = replace(stable, outcome=Outcome.COLLAPSED, grade=None, cause=Cause.LEARNING_RATE)
    mirror = make_mirror(sweep, folder)
    mirror.record(stable)
    mirror.close([collapsed], None, None, "FINISHED")
    run = runs(client)[1][0]
    assert run.data.tags["stabsearch.outcome"] == "collapsed"
    assert "stabsearch.grade" not in run.data.tags
    assert run.data.metrics["failed"] == 1.0
    mirror_all(sweep, folder, [stable])
    run = runs(client)[1][0]
    assert (run.data.tags["stabsearch.outcome"], run.data.tags["stabsearch.grade"]) == ("stable", "clean")
    assert "stabsearch.cause" not in run.data.tags
    assert run.data.metrics["failed"] == 0.0


def test_a_trial_run_again_replaces_its_interrupted_attempt(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """The numbers of two attempts never mix in one run."""
    interrupted = make_record(
        0, outcome=Outcome.INTERRUPTED, grade=None, trace=StepTrace((1,), (9.0,), (9.0,))
    )
    mirror_all(sweep, folder, [interrupted], status="KILLED")
    mirror_all(sweep, folder, [make_record(0, started_at=1_700_000_900.0)])
    run = runs(client)[1][0]
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert (run.info.status, run.data.metrics["max_loss"]) == ("FINISHED", 1.5)
    assert [point.value for point in history] == [1.5, 1.4, 1.3]


def test_an_outage_in_mid_sweep_loses_nothing(
    sweep: Sweep, folder: Path, client: MlflowClient, flaky: Flaky
) -> None:
    """Trials finished during an outage arrive when it is over."""
    mirror = make_mirror(sweep, folder)
    mirror.record(make_record(0))
    flaky.is_down = True
    mirror.record(failed_record(1))
    mirror.record(make_record(2))
    assert flaky.was_refused.wait(60)
    flaky.is_down = False
    delivery = mirror.close([make_record(0), failed_record(1), make_record(2)], ANSWER, None, "FINISHED")
    assert delivery.is_complete
    assert sorted(runs(client)[1]) == [0, 1, 2]


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), ValueError("too long")])
def test_progress_goes_on_after_one_that_did_not_arrive(
    sweep: Sweep, folder: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is not sent again, for a later one says more; it is no failure of the delivery."""
    monkeypatch.setattr(mlflow_mirror, "PROGRESS_S", 0.0)
    seen: list[int] = []
    failed, shown, really = Event(), Event(), Parent.progress

    def progress(self: Parent, look: Look) -> None:
        seen.append(len(look.records))
        if len(seen) == 1:
            failed.set()
            raise error
        really(self, look)
        shown.set()

    monkeypatch.setattr(Parent, "progress", progress)
    mirror, records = make_mirror(sweep, folder), [make_record(number) for number in range(3)]
    mirror.progress(Look(records[:1]))
    assert failed.wait(60)
    mirror.progress(Look(records[:2]))
    assert shown.wait(60)
    assert "2 of at most" in runs(client)[0].data.tags["mlflow.note.content"]
    assert mirror.close(records, ANSWER, None, "FINISHED").is_complete
    assert seen == [1, 2]


def test_what_an_outage_kept_back_is_counted_and_sent_by_the_next_run(
    sweep: Sweep, folder: Path, client: MlflowClient, flaky: Flaky
) -> None:
    """A sweep that ends during an outage says how much is missing; the same command sends it."""
    records = [make_record(0), failed_record(1), make_record(2)]
    mirror_all(sweep, folder, records[:1], status="KILLED")
    flaky.is_down = True
    mirror = make_mirror(sweep, folder, flush_s=0.2)
    for record in records[1:]:
        mirror.record(record)
    delivery = mirror.close(records, ANSWER, None, "FINISHED")
    assert (delivery.delivered, delivery.missing) == (0, 3)
    assert "Connection refused" in delivery.problem
    flaky.is_down = False
    assert mirror_all(sweep, folder, records, answer=ANSWER).is_complete
    parent, children = runs(client)
    assert sorted(children) == [0, 1, 2]
    assert parent.info.status == "FINISHED"


def test_an_unreachable_server_neither_raises_nor_blocks(folder: Path) -> None:
    """A real refused connection costs the sweep its flush time and nothing else."""
    mirror = make_mirror(make_sweep("http://127.0.0.1:9"), folder, flush_s=5.0)
    mirror.record(make_record(0))
    delivery = mirror.close([make_record(0)], None, None, "FINISHED")
    assert (delivery.delivered, delivery.missing, delivery.run_id) == (0, 1, None)
    assert "Connection refused" in delivery.problem


def test_a_refused_trial_does_not_hold_back_the_others(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """A trial that MLflow will never take is counted as missing; the rest arrives."""
    too_long = "x" * 300
    odd = make_record(0, plan=replace(make_record(0).plan, precision=too_long, learning_rate="broken"))  # type: ignore[arg-type]
    delivery = mirror_all(sweep, folder, [odd, make_record(1)])
    parent, children = runs(client)
    assert (delivery.delivered, delivery.missing) == (1, 1)
    assert delivery.problem.startswith("trial 0: ")
    assert 1 in children
    assert parent.info.status == "FINISHED"


def test_what_the_user_deleted_comes_back_with_the_next_run(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """Deleted runs are made again from the study, below the run that is there now."""
    mirror_all(sweep, folder, [make_record(0), make_record(1)])
    parent, children = runs(client)
    client.delete_run(parent.info.run_id)
    client.delete_run(children[0].info.run_id)
    mirror_all(sweep, folder, [make_record(0), make_record(1)])
    assert sorted(runs(client)[1]) == [0, 1]


def test_a_deleted_experiment_is_restored_even_in_mid_sweep(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """MLflow keeps a deleted experiment's name taken, so it is brought back."""
    mirror_all(sweep, folder, [make_record(0)], status="KILLED")
    client.delete_experiment(client.get_experiment_by_name("mine").experiment_id)
    delivery = mirror_all(sweep, folder, [make_record(0), make_record(1)])
    assert delivery.is_complete
    assert sorted(runs(client)[1]) == [0, 1]


def test_an_experiment_that_exists_keeps_its_artifact_location(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """The files of a sweep go where the experiment keeps its files."""
    elsewhere = folder / "elsewhere"
    client.create_experiment("mine", artifact_location=elsewhere.as_uri())
    (folder / "report.md").write_text("# Report")
    delivery = mirror_all(sweep, folder, [make_record(0)])
    assert delivery.is_complete
    assert (elsewhere / str(delivery.run_id) / "artifacts" / "report.md").is_file()


def test_files_that_cannot_be_shown_cost_only_themselves(
    sweep: Sweep, folder: Path, client: MlflowClient
) -> None:
    """An artifact store that does not work is named, and everything else is there."""
    (folder / "blocked").write_text("not a folder")
    client.create_experiment("mine", artifact_location=(folder / "blocked").as_uri())
    (folder / "report.md").write_text("# Report")
    delivery = mirror_all(sweep, folder, [make_record(0)], answer=ANSWER)
    parent, _ = runs(client)
    assert delivery.problem.startswith("report.md: ")
    assert delivery.missing == 0
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["stabsearch.verdict"] == "confirmed"


def test_the_run_has_ended_before_its_files_are_shown(
    sweep: Sweep, folder: Path, client: MlflowClient, flaky: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An artifact store that hangs or is down cannot leave the sweep's run RUNNING."""
    seen = []

    def refuse(run_id: str, path: str) -> None:
        seen.append(client.get_run(run_id).info.status)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(flaky, "log_artifact", refuse, raising=False)
    (folder / "report.md").write_text("# Report")
    delivery = mirror_all(sweep, folder, [make_record(0)], answer=ANSWER)
    assert seen == ["FINISHED", "FINISHED"]
    assert delivery.problem == "report.md: [Errno 13] Permission denied"
    assert runs(client)[0].info.status == "FINISHED"


def test_two_sweeps_share_an_experiment(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """Runs of another sweep in the same experiment are left alone."""
    from stabsearch.tracking.mlflow_mirror import MlflowMirror

    mirror_all(sweep, folder, [make_record(0)])
    other = MlflowMirror(sweep, "other-1", folder)
    other.open()
    assert other.close([make_record(0)], None, None, "FINISHED").is_complete
    assert len(client.search_runs([client.get_experiment_by_name("mine").experiment_id])) == 4


def test_the_note_shows_the_frontier(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """The frontier's table is part of the note."""
    frontier = make_frontier()
    mirror_all(sweep, folder, [make_record(0)], answer=ANSWER, frontier=frontier, status="KILLED")
    note = runs(client)[0].data.tags["mlflow.note.content"]
    assert "### Frontier" in note
    assert note.count("bf16 · warmup 100 · clip 1") == 1


def test_grades_are_among_the_labels() -> None:
    """A grade that changes is corrected like an outcome."""
    from stabsearch.tracking.layout import child_run

    run = child_run(make_record(0, grade=Grade.DEGRADED), make_sweep().training, SWEEP_ID)
    assert run.labels["stabsearch.grade"] == "degraded"
