"""The health check of the image: it asks the right server, and tells an ill one from a well one."""

from __future__ import annotations

import doctest
import importlib.util
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from deploy_files import DOCKER, documents, interpolated

_spec: Any = importlib.util.spec_from_file_location("healthy", DOCKER / "healthy.py")
healthy: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(healthy)
health_url, complaint = healthy.health_url, healthy.complaint
SERVICES = documents("compose.yaml")[0]["services"]


class _Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path in {"/api/healthz", "/health"} else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), {}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _commands(server: HTTPServer) -> list[list[str]]:
    port = str(server.server_address[1])
    return [
        ["/sbin/docker-init", "--", "ray", "start", "--block", f"--dashboard-agent-listen-port={port}"],
        ["/opt/venv/bin/python", "/opt/venv/bin/mlflow", "server", "--port", port],
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["ray", "mlflow"])
def test_a_server_that_answers_is_well(server: HTTPServer, which: int) -> None:
    assert complaint(_commands(server)[which]) is None


@pytest.mark.parametrize("which", [0, 1], ids=["ray", "mlflow"])
def test_a_server_that_says_503_is_not(server: HTTPServer, which: int) -> None:
    server.RequestHandlerClass.status = 503  # type: ignore[attr-defined]
    assert "503" in complaint(_commands(server)[which])


@pytest.mark.parametrize("which", [0, 1], ids=["ray", "mlflow"])
def test_a_server_that_is_gone_is_not(server: HTTPServer, which: int) -> None:
    command = _commands(server)[which]
    server.shutdown()
    server.server_close()
    assert "refused" in complaint(command)


@pytest.mark.parametrize(
    "command", [["sleep", "infinity"], ["ray", "status"], ["mlflow", "runs", "list"], [""]]
)
def test_what_it_does_not_know_is_not_called_well(command: list[str]) -> None:
    assert "cannot tell" in complaint(command)


def test_a_sweep_is_well_as_long_as_it_runs() -> None:
    assert complaint(["/opt/venv/bin/python", "/opt/venv/bin/stabsearch", "run", "sweep.yaml"]) is None


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "command" in service])
def test_it_knows_every_service_of_the_compose_file(name: str) -> None:
    """The ports it asks are those that the services listen on."""
    health_url([interpolated(word, {}) for word in SERVICES[name]["command"]])


def test_its_examples_hold() -> None:
    failed, attempted = doctest.testmod(healthy)
    assert (failed, attempted) == (0, 2)
