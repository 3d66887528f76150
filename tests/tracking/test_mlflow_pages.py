"""A sweep on the pages of a real MLflow server, as a browser shows them."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tracking_samples import SWEEP_ID, failed_record, make_frontier, make_mirror, make_record, make_sweep

from experiments.on_loopback.browser import visit
from experiments.on_loopback.servers import mlflow_server
from stabsearch.frontier.answer import Answer, Confirmation, Recommendation, Verdict
from stabsearch.records import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from experiments.on_loopback.browser import Visit

pytestmark = [pytest.mark.mlflow_server, pytest.mark.browser]

BEST = Recommendation(Context("bf16", 100, 1.0), 0.0012, 0.05, 0.01, 0.09)
HOSTILE = "<img src='http://example.invalid/i.png'> ![p](http://example.invalid/p.png) <b>bold</b>"
ANSWER = Answer(
    Verdict.CONFIRMED, f"Up to 0.0012 is safe. {HOSTILE}", BEST, Confirmation(22, 22, 0, 0.099), 120, 2000
)
REPORT = "<!doctype html><title>r</title><h1>The report</h1><script>document.body.dataset.ran = 1</script>"
TIMEOUT_MS = 120_000  # chosen: a busy machine starts MLflow's pages in half a minute


@pytest.fixture(scope="module")
def page_of_sweep(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """The address of a sweep's run on a server."""
    home, folder = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("sweep")
    shutil.copy(empty_database, home / "mlflow.db")
    Image.new("RGB", (1600, 900), "white").save(folder / "frontier.png")
    (folder / "report.html").write_text(REPORT)
    with mlflow_server(home) as server:
        server.start()
        records = [make_record(0), failed_record(1), make_record(2, message=HOSTILE)]
        mirror = make_mirror(make_sweep(server.url), folder)
        delivery = mirror.close(records, ANSWER, make_frontier(), "FINISHED", next_step="Start the full run.")
        assert delivery.is_complete
        yield delivery.url


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Visit]:
    """Open a page of MLflow; nothing may leave this machine, or break."""
    with visit(browser, width=1400, height=1000) as seen:
        seen.page.set_default_timeout(TIMEOUT_MS)
        errors: list[str] = []
        seen.page.on("pageerror", lambda error: errors.append(str(error)))
        seen.page.goto(address)
        yield seen
        assert seen.refused == []
        # Chromium's own notice, no fault of a page.
        assert [error for error in errors if "ResizeObserver" not in error] == []


def test_the_sweeps_page_begins_with_its_answer_and_shows_the_picture(
    browser: Browser, page_of_sweep: str
) -> None:
    """No text of a trial or sweep becomes an element, or asks for anything."""
    with opened(browser, page_of_sweep) as seen:
        text = seen.page.get_by_text("Safe configuration, confirmed.").first
        text.wait_for()
        assert seen.page.get_by_text("Next: Start the full run.").first.is_visible()
        picture = seen.page.locator("img[src*='frontier.preview.png']")
        picture.wait_for(state="attached")
        seen.page.wait_for_function("document.querySelector('img[src*=preview]').naturalWidth > 0")
        assert picture.evaluate("image => image.naturalWidth") == 760
        assert seen.page.get_by_text("<b>bold</b>").count() > 0
        assert seen.page.locator("img[src*='example']").count() == 0


def test_the_report_is_shown_in_place(browser: Browser, page_of_sweep: str) -> None:
    """With its script run, apart from MLflow's own page."""
    with opened(browser, f"{page_of_sweep}/artifacts/report.html") as seen:
        frame = seen.page.frame_locator("iframe").first
        frame.locator("h1").wait_for()
        assert frame.locator("h1").inner_text() == "The report"
        assert frame.locator("body").get_attribute("data-ran") == "1"
        assert "allow-same-origin" not in (seen.page.locator("iframe").first.get_attribute("sandbox") or "")


def test_the_saved_view_lists_trials_with_the_columns_that_matter(
    browser: Browser, page_of_sweep: str
) -> None:
    """On the first visit, flat, not folded under the sweep's run."""
    experiment = page_of_sweep.partition("/runs/")[0]
    view = f"{experiment}/runs?workflowType=machine_learning&viewStateShareKey={SWEEP_ID}"
    with opened(browser, view) as seen:
        seen.page.get_by_text("lr3e-4_w100_c1_bf16").first.wait_for()
        seen.page.get_by_text("first_bad_step").first.wait_for()
