"""A short fault campaign; `campaign.py` runs long ones."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import jumping_clock
import pytest
from rich.console import Console
from serving import IMEI, REGISTRY, BareDevice, ServerProcess, wait_for_entry

sys.path.append(str(Path(__file__).parent))

from campaign import single
from faults import RESTARTED
from rig import INSTANCES
from valkey_rig import DISK_FULL, ValkeyRig

StartServer = Callable[..., ServerProcess]
SECONDS = 60.0
SEED = 1
KINDS = 19
"""Of faults, with the three that come of what the balancer does to devices."""


@pytest.mark.timeout(400)
async def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    report = await single(tmp_path, SECONDS, SEED).run()
    report.print(Console(width=100))
    result, commands = report.result, report.commands
    assert result.acknowledged > 10_000
    assert (result.lost, result.doubled, result.unsent) == (0, 0, 0), result.examples
    assert commands.responded > 50
    assert commands.lost == 0, commands.examples
    assert report.kills > 0
    assert report.left_out.keys() <= {DISK_FULL}, report.left_out
    assert len(+report.faults) + len(report.left_out) == KINDS, report.faults


@pytest.mark.timeout(200)
async def test_a_rolling_restart_of_two_instances_under_load_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    campaign = single(tmp_path, 5.0, SEED, faults=[RESTARTED], times=4, break_every=0)
    assert isinstance(campaign.rig, ValkeyRig)
    campaign.rig.proxy.delay_s = 0.05  # something is under way whenever an instance stops
    report = await campaign.run()
    report.print(Console(width=100))
    result, commands = report.result, report.commands
    assert result.acknowledged > 2_000
    assert (result.lost, result.doubled, result.unsent) == (0, 0, 0), result.examples
    assert commands.lost == 0, commands.examples
    assert +report.faults == {RESTARTED: report.restarts.total()}
    assert min(report.restarts[name] for name in INSTANCES) >= 2
    assert report.kills == 0


def test_a_clock_that_jumps_is_the_one_that_the_server_reads(
    tmp_path: Path, start_server: StartServer
) -> None:
    clock = tmp_path / "clock"
    jumping_clock.set_clock(clock, 0)
    program = (sys.executable, jumping_clock.__file__, str(clock))
    server = start_server(program=program)
    for days in (0, 5, -5):
        jumping_clock.set_clock(clock, days * 86_400)
        with BareDevice(server.port) as device:
            wait_for_entry(server.redis, IMEI, server.instance_id)
            since_ms = int(server.redis.hget(f"{{{REGISTRY}}}:since", IMEI))
            assert round((since_ms / 1000 - time.time()) / 86_400) == days
            device.leave()
        wait_for_entry(server.redis, IMEI, None)
