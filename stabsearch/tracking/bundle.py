"""The part of stabsearch that a registered frontier predicts with: numbers only, one small archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import stabsearch

_HOME = Path(stabsearch.__file__).parent
_NEEDED = ("__init__.py", "errors.py", "version.py", "records/*.py", "frontier/*.py")
_THEN = (1980, 1, 1, 0, 0, 0)  # the first date a zip can hold: equal files make equal archives


def write_bundle(path: Path) -> None:
    """Write an archive to import ``stabsearch.frontier`` from, with numpy, scipy and pandas alone."""
    files = sorted(file for pattern in _NEEDED for file in _HOME.glob(pattern))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            name = f"{_HOME.name}/{file.relative_to(_HOME).as_posix()}"
            archive.writestr(zipfile.ZipInfo(name, _THEN), file.read_bytes(), zipfile.ZIP_DEFLATED)
