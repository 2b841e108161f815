"""A short load run; `load.py` holds 5,000 devices for as long as is wanted."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from load import Load, growth, run_load

DEVICES = 500
BOUND = 4.0
"""Per cent. One that keeps each session that has ended grows by about ten."""


@pytest.mark.timeout(200)
async def test_memory_is_flat_while_a_tenth_of_the_devices_reconnects(tmp_path: Path) -> None:
    load = Load(DEVICES, interval_s=2.0, pause_s=0.05)
    periods = await run_load(tmp_path, load, periods=5, period_s=2.0, reconnects=1_000, tell=print)
    last = periods[-1]
    assert abs(last.held - DEVICES) <= DEVICES // 10
    assert last.taken_over > 1_000
    assert last.packets > last.reconnects
    assert growth(periods) < BOUND, [period.server_mib for period in periods]
