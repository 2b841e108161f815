"""A short fault campaign; `campaign.py` runs long ones."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from campaign import Campaign

SECONDS = 60.0
SEED = 1


@pytest.mark.timeout(300)
async def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    report = await Campaign(tmp_path, SECONDS, SEED).run()
    print(report)
    assert report.acknowledged > 10_000
    assert (report.lost, report.doubled, report.unsent) == (0, 0, 0)
    assert len(report.faults) == 9
