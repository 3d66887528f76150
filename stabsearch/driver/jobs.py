"""Sweeps as jobs of a Ray cluster: submitted, listed, followed, stopped, through its job server.

Importing this imports Ray.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import requests
from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from stabsearch.config.address import without_password
from stabsearch.driver.submission import Submission
from stabsearch.errors import ExitCode, UserError

Found = TypeVar("Found")
ADDRESS = "RAY_API_SERVER_ADDRESS"
CONNECT_S, ANSWER_S = 10.0, 120.0  # chosen: a host that says nothing is told from one that is busy
POLL_S = 1.0
AWAY_S = 60.0  # chosen: a head that is replaced takes as long; a job does not notice
TRIES = 10  # chosen: others may submit the same sweep at the same moment, not for ever
BYTES_PER_S = 2**20  # chosen: a log is fetched whole each time, so a long one is fetched less often
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
MINE = "stabsearch"
"""Key of a job's metadata: the version that submitted it."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster tells it."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    sweep: str
    folder: str
    """Where on the cluster its results are."""
    package: str
    """What tells the files it was started with from others."""
    started_at: float | None
    ended_at: float | None
    """Seconds since the epoch."""
    driver_exit_code: int | None
    message: str

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, in whatever way."""
        return self.status in ENDED

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch run`` would have ended with here."""
        if self.status == "STOPPED":
            return ExitCode.INTERRUPTED
        known = set(ExitCode)
        return ExitCode(self.driver_exit_code) if self.driver_exit_code in known else ExitCode.CANNOT_JUDGE

    def to_json(self) -> dict[str, Any]:
        """Return what may be printed; the variables of a job are not among it."""
        data = {name: value for name, value in asdict(self).items() if name not in {"message", "package"}}
        return {**data, "exit_code": int(self.exit_code) if self.is_over else None}


class UnreachedError(UserError):
    """A job server that does not answer."""


class JobServer:
    """The job server of a cluster.

    Args:
        address: ``http://HEAD:8265``, ``ray://HEAD:10001``, or the cluster's own ``HEAD:6379``; None: what
            ``RAY_API_SERVER_ADDRESS`` or ``RAY_ADDRESS`` says, else a cluster on this machine.

    Raises:
        UserError: no job server there, or it does not let us in.
    """

    def __init__(self, address: str | None = None) -> None:
        for name in ("ray", SubmissionClient.__module__):  # they say what they upload
            logging.getLogger(name).setLevel(logging.ERROR)
        given = address or os.environ.get(ADDRESS) or os.environ.get("RAY_ADDRESS")
        self._shown = without_password(given) if given else "this machine"
        with self._explained(), _preferred(address):
            self._client = _Client(address)

    def jobs(self, *, every: bool = False) -> list[Job]:
        """Return the jobs that are sweeps, or all that were submitted, in the order of their start."""
        with self._explained():
            found = self._client.list_jobs()
        kept = [each for each in found if each.submission_id and (every or MINE in (each.metadata or {}))]
        return sorted(map(_job, kept), key=lambda job: (job.started_at or 0.0, job.id))

    def find(self, name: str) -> Job:
        """Return a job by its id; the latest one by an id without its number, or by the name of a sweep.

        Raises:
            UserError: there is none.
        """
        jobs = self.jobs(every=True)
        exact = [job for job in jobs if job.id == name] or _starts(name, jobs)
        found = exact or [job for job in jobs if job.sweep == name]
        if found:
            return found[-1]
        near = difflib.get_close_matches(name, [job.id for job in jobs], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "`stabsearch jobs` lists them"
        raise UserError(f"no job {name!r} at {self._shown}", hint)

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Return the job of a sweep and whether it was started now; one at work is left at it.

        Raises:
            UserError: the cluster does not take it.
        """
        for _ in range(TRIES):
            before = _starts(submission.base, self.jobs(every=True))
            if before and not before[-1].is_over:
                return before[-1], False
            number = 1 + (int(before[-1].id.rsplit("-", 1)[1]) if before else 0)
            if self._started(submission, f"{submission.base}-{number}"):
                return self.find(f"{submission.base}-{number}"), True
        raise UserError(
            f"{self._shown} has a job {submission.base}-{number} and does not list it", "try again"
        )

    def _started(self, submission: Submission, job_id: str) -> bool:
        """Return whether a job was started; not so when another one was, under this id, a moment ago."""
        with self._explained():
            try:
                self._client.submit_job(
                    entrypoint=submission.entrypoint, submission_id=job_id, entrypoint_num_cpus=0,
                    runtime_env=submission.runtime_env, metadata=submission.metadata,
                )  # fmt: skip
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                raise
        return True

    def stop(self, job: Job) -> Job:
        """Return a job once it has ended: it is asked to, and writes what it has."""
        with self._explained():
            self._client.stop_job(job.id)
        return self.wait(job)

    def wait(self, job: Job) -> Job:
        """Return a job once it has ended."""
        while not (job := self._patiently(job, partial(self.find, job.id))).is_over:
            time.sleep(POLL_S)
        return job

    def log(self, job: Job) -> str:
        """Return what a job has said so far."""
        with self._explained():
            return str(self._client.get_job_logs(job.id))

    def follow(self, job: Job, write: Callable[[str], object]) -> Job:
        """Return a job once it has ended, having written what it said, from its first line on."""
        shown = 0
        while True:
            # before the log is read: nothing comes after the end
            job = self._patiently(job, partial(self.find, job.id))
            text = self._patiently(job, partial(self.log, job))
            write(text[shown:])
            shown = len(text)
            if job.is_over:
                return job
            time.sleep(max(POLL_S, shown / BYTES_PER_S))

    def _patiently(self, job: Job, ask: Callable[[], Found]) -> Found:
        """Return an answer about a job; a job server that is away for a moment is asked again.

        Raises:
            UserError: it is away for longer; the job may go on all the same.
        """
        until = time.monotonic() + AWAY_S
        while True:
            try:
                return ask()
            except UnreachedError as error:
                if time.monotonic() > until:
                    hint = (
                        f"the job may go on all the same: `stabsearch logs {job.id} --follow` once it is back"
                    )
                    raise UserError(error.message, hint) from None
                time.sleep(POLL_S)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what goes wrong between here and the cluster into something to be put right."""
        try:
            yield
        except AuthenticationError:
            hint = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as on the cluster"
            raise UserError(f"{self._shown} does not let us in: no token, or a wrong one", hint) from None
        except (ConnectionError, requests.RequestException, json.JSONDecodeError, KeyError) as error:
            raise UnreachedError(f"no Ray job server at {self._shown}{_reason(error)}",
                            f"--address http://HEAD:8265, or set {ADDRESS}") from None  # fmt: skip
        except (RuntimeError, ValueError, AssertionError, OSError) as error:
            raise UserError(f"{self._shown}: {_one_line(error)}", _hint(error)) from None


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Gives up on a host that does not answer; Ray's own waits for ever."""

    def _do_request(self, method: str, endpoint: str, **further: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": (CONNECT_S, ANSWER_S), **further})


@contextmanager
def _preferred(address: str | None) -> Iterator[None]:
    """Have an address that was given go before those of the environment, which Ray prefers."""
    before = os.environ.get(ADDRESS)
    if address:
        os.environ[ADDRESS] = address
    try:
        yield
    finally:
        if address and before is None:
            del os.environ[ADDRESS]
        elif address and before is not None:
            os.environ[ADDRESS] = before


def _starts(base: str, jobs: list[Job]) -> list[Job]:
    """Return the jobs with an id and its number, by number."""
    prefix = f"{base}-"
    ours = [job for job in jobs if job.id.startswith(prefix) and job.id.removeprefix(prefix).isdecimal()]
    return sorted(ours, key=lambda job: int(job.id.removeprefix(prefix)))


def _job(details: Any) -> Job:
    metadata = details.metadata or {}
    return Job(
        id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        sweep=metadata.get("sweep", ""),
        folder=metadata.get("folder", ""),
        package=metadata.get("package", ""),
        started_at=details.start_time / 1000 if details.start_time else None,
        ended_at=details.end_time / 1000 if details.end_time else None,
        driver_exit_code=details.driver_exit_code,
        message=details.message or "",
    )


def _reason(error: Exception) -> str:
    return ": no answer within the time" if isinstance(error, requests.Timeout) else ""


def _one_line(error: Exception) -> str:
    """Return the last line of an answer, which names the error, at the length of a line."""
    lines = [line.strip(" .") for line in str(error).splitlines() if line.strip(" .")]
    return lines[-1][:300] if lines else type(error).__name__


def _hint(error: Exception) -> str:
    return (
        "pip install 'stabsearch[cluster]'" if "ray[default]" in str(error) else "see the cluster's own logs"
    )
