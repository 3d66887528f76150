"""Ask a vulnerability service about what is installed, where it can be reached; 1: vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

LIMIT_S = 600
NOT_AUDITED = "NOT AUDITED: {why}. Run it where a vulnerability service can be reached: nobody looked here."


def main() -> int:
    """Print what was found, or loudly that nothing was looked for."""
    command = [
        sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
        "--timeout", "10", "--skip-editable",
    ]  # fmt: skip
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        packages: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _not_audited(f"no answer within {LIMIT_S} s")
    except (ValueError, KeyError):
        return _not_audited((ended.stderr.strip() or "no answer").splitlines()[-1])
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        reasons = Counter(package["skip_reason"].split(":")[0] for package in packages)
        why = reasons.most_common(1)[0][0] if reasons else "nothing is installed"
        return _not_audited(f"the service knows none of {len(packages)} packages ({why})")
    found = [(package, each) for package in audited for each in package["vulns"]]
    for package, each in found:
        mended = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
    print(f"audit: {len(audited)} of {len(packages)} packages are known there, {len(found)} vulnerabilities")
    return 1 if found else 0


def _not_audited(why: str) -> int:
    print("\n".join(["*" * 100, NOT_AUDITED.format(why=why), "*" * 100]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
