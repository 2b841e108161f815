"""A short fault campaign on a cluster, and one on sentinels; `campaign.py` runs long ones."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.append(str(Path(__file__).parent))

from campaign import on_topology
from topology_faults import FAILOVERS
from topology_rig import ClusterRig, SentinelRig

SECONDS = 60.0
SEED = 1
KINDS = {ClusterRig: 24, SentinelRig: 22}
"""Of faults, with the three that come of what the balancer does to devices."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rig", [ClusterRig, SentinelRig])
async def test_nothing_is_lost_and_nothing_doubled(
    rig: type[ClusterRig | SentinelRig], tmp_path: Path
) -> None:
    report = await on_topology(rig, tmp_path, SECONDS, SEED).run()
    report.print(Console(width=100))
    result, commands = report.result, report.commands
    assert result.acknowledged > 5_000
    assert (result.lost, result.doubled, result.unsent) == (0, 0, 0), result.examples
    assert commands.responded > 50
    assert commands.lost == 0, commands.examples
    assert report.kills > 0
    assert {kind for kind, _ in report.failovers} == set(FAILOVERS)
    assert len(+report.faults) == KINDS[rig], report.faults
