"""A short run of the attacks; `tests/attacks/campaign.py` runs long ones."""

import asyncio
import subprocess
import sys
from pathlib import Path

from serving import BareDevice, ServerProcess

sys.path.append(str(Path(__file__).parents[1]))

from attacks import campaign

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

ATTACKS = Path(__file__).parents[1] / "attacks"
PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])


async def test_honest_devices_lose_nothing_while_all_attack(tmp_path: Path) -> None:
    attacked = campaign.Attacked(seconds=2.0, period_s=1.0, devices=20, interval_s=0.2, each=1)
    minutes, result = await campaign.run(tmp_path, attacked)
    assert len(minutes) >= 2
    assert all(minute.acknowledged for minute in minutes)
    assert sum(minute.connected for minute in minutes) >= 10
    assert result.acknowledged > 0
    assert (result.lost, result.doubled, result.unsent) == (0, 0, 0), result.examples


async def test_a_server_outlives_each_stranger_s_script(server: ServerProcess) -> None:
    for attack in ("wrong_crc", "ff_stream", "fill_disk"):
        script = (sys.executable, str(ATTACKS / f"{attack}.py"))
        arguments = ("127.0.0.1", str(server.port), "1", "2")
        said = await asyncio.to_thread(
            subprocess.run, [*script, *arguments], check=True, stdout=subprocess.PIPE, text=True
        )
        assert int(said.stdout.split()[-2]) > 0, said.stdout
        with BareDevice(server.port) as honest:
            honest.send(PACKET)
            assert honest.acknowledged() == 1, attack
