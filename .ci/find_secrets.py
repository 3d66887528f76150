"""Look for secrets in the files that git tracks; works offline. Exit code 1: something looks like one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.settings import transient_settings

GUESSES = {"Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector"}
"""Detectors that take any digest, or any assignment to a name such as ``token``, for a secret."""
DATA = {".csv", ".jsonl", ".png", ".svg", ".tsv", ".parquet"}
MADE_UP = {"secret", "b", "pw", "pw-Zq8K2v", "pw%2Fx", "a%2Fb%40c", "p", "a", "stabsearch", "SECRET"}
"""Passwords of addresses in documentation and tests."""


def main() -> int:
    """Print file, line and kind of whatever looks like a secret."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    paths = [Path(name) for name in listed.split("\0") if name]
    files = [str(path) for path in paths if path.suffix not in DATA and path.is_file()]
    plugins = {kind.__name__ for kind in get_mapping_from_secret_type_to_class().values()} - GUESSES
    found = SecretsCollection()
    with transient_settings({"plugins_used": [{"name": name} for name in sorted(plugins)]}):
        for name in files:
            found.scan_file(name)
    seen = [(name, secret) for name, secret in found if secret.secret_value not in MADE_UP]
    for name, secret in seen:
        print(f"{name}:{secret.line_number}: {secret.type}")
    print(f"secrets: {len(files)} tracked files, {len(seen)} findings")
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
