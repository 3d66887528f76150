"""Links of every page lead somewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from markdown_pages import ROOT, anchors, links, pages

ALL_PAGES = pages("*.md")


@pytest.mark.parametrize("page", ALL_PAGES)
def test_a_relative_link_is_a_file_and_a_heading_of_it(page: str) -> None:
    for link in links(page):
        target = urlsplit(link)
        if target.scheme:
            continue
        path = (ROOT / page).parent / target.path if target.path else ROOT / page
        assert path.exists(), link
        if target.fragment and path.suffix == ".md":
            assert target.fragment in anchors(str(path.resolve().relative_to(ROOT))), link


@pytest.mark.parametrize("page", ALL_PAGES)
def test_a_link_to_elsewhere_is_an_address(page: str) -> None:
    """Nobody is asked whether it answers: tests need no network."""
    for link in links(page):
        target = urlsplit(link)
        if target.scheme:
            assert target.scheme in {"https", "http", "mailto"}, link
            assert "." in target.netloc or target.hostname == "127.0.0.1" or target.scheme == "mailto", link
