"""`python -m benchmarks` runs, and shows each workload beside its limit. It is never timed here."""

import subprocess
import sys
from pathlib import Path

from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]


def test_the_quick_run_prints_every_table() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--connections", "10"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for workload in WORKLOADS:
        lines = [line for line in result.stdout.splitlines() if workload.name in line]
        decode = [line for line in lines if "to records " in line and "read" not in line]
        others = [line for line in lines if f" {workload.name} " in line and "to " not in line]
        assert len(decode) == 1
        assert len(others) >= 2  # captures and ingest
    assert "teltonika --help" in result.stdout
    assert "KiB of the server's memory" in result.stdout
