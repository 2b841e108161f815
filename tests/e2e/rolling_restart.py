"""A rolling restart of three instances behind HAProxy, under load, and what became of it all."""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from certificates import Certificates
from commander import CommandCount, Commander, commanding
from haproxy import MISSING, Haproxy, Place
from own_valkey import OwnValkey
from serving import ServerProcess
from witness import Comparison, WitnessedFleet, compare

from teltonika.emulator import TlsSettings

INSTANCES = ("a", "b", "c")
BEFORE_S = 2.0
"""Load before the first restart, between two, and after the last."""
RECONNECT_GRACE_S = "1"
"""Behind a balancer a device seldom comes back to the instance that it was disconnected from."""
HELP = """\
A rolling restart, as an operator does it. Three instances share a Valkey, HAProxy with
deploy/haproxy.cfg stands in front of them, and emulated devices that know what they sent speak TLS
to it, while commands are sent to them all the time. Each instance in its turn is drained (HAProxy
gives it no new connections), gets SIGTERM, ends with exit code 0, is started again, and gets
devices again when its /readyz says that it can take them. Afterwards the stream is compared with
what the devices know, and every command with what its device did.
"""
EXAMPLES = """\
examples:
  python tests/e2e/rolling_restart.py                            each instance once
  python tests/e2e/rolling_restart.py --rounds 20 --devices 100  for some minutes
  python tests/e2e/rolling_restart.py --json                     one line for a program

It needs HAProxy (Debian: apt-get install haproxy). The last line counts records that were
acknowledged and are not on the stream, records that are on it twice, and commands without exactly
one end or with more than one execution. Exit code: 0 if all are 0; 1 otherwise.
"""


@dataclass(frozen=True)
class Outcome:
    records: Comparison
    commands: CommandCount
    restarts: int
    seconds: float

    @property
    def failed(self) -> bool:
        records = self.records
        return bool(records.lost or records.doubled or records.unsent or self.commands.lost)

    def lines(self) -> Iterator[str]:
        records, commands = self.records, self.commands
        yield (
            f"{self.restarts} restarts in {self.seconds:.1f} s; records sent {records.sent}, "
            f"acknowledged {records.acknowledged}, stored {records.stored}, "
            f"stored and never sent {records.unsent}"
        )
        yield commands.line()
        yield from records.examples + commands.examples
        yield f"lost {records.lost}, doubled {records.doubled}, commands lost {commands.lost}"

    def json(self) -> str:
        return json.dumps(
            {
                "lost": self.records.lost,
                "doubled": self.records.doubled,
                "commands_lost": self.commands.lost,
                "restarts": self.restarts,
                "seconds": round(self.seconds, 3),
                "records": asdict(self.records),
                "commands": asdict(self.commands),
            }
        )


class BehindHaproxy:
    """Three instances on one Valkey, and HAProxy in front of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        valkey = directory / "valkey"
        valkey.mkdir(parents=True)
        self.valkey = OwnValkey(valkey)
        self.servers: dict[str, ServerProcess] = {}
        self.certificates = Certificates(directory / "certificates")
        self.places = {name: Place.anywhere() for name in INSTANCES}
        self.haproxy = Haproxy(directory / "haproxy", self.certificates, self.places)

    @property
    def tls(self) -> TlsSettings:
        """What the devices trust."""
        return TlsSettings(ca_file=self.certificates.ca)

    def __enter__(self) -> "BehindHaproxy":
        with contextlib.ExitStack() as stack:
            stack.callback(self.valkey.kill)
            self.client = stack.enter_context(self.valkey.start())
            stack.callback(self._end_servers)
            for name in INSTANCES:
                self.start(name)
            stack.enter_context(self.haproxy)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str) -> None:
        """An instance is where it always is, and has its name."""
        place = self.places[name]
        self.servers[name] = ServerProcess(
            self._directory / name,
            *("--instance-id", name, "--port", str(place.port), "--proxy-protocol"),
            *("--metrics", f"127.0.0.1:{place.metrics_port}", "--stream-maxlen", "0"),
            *("--reconnect-grace", RECONNECT_GRACE_S),
            redis_url=self.valkey.url,
        )

    def restart(self, name: str) -> int:
        """How many connections it had."""
        connections = self.haproxy.connections(name)
        self.haproxy.drain(name)
        with self.servers.pop(name) as server:
            code = server.stop()
        assert code == 0, f"instance {name} ended with {code}:\n{server.log_text()}"
        self.start(name)
        self.haproxy.undrain(name)
        self.haproxy.wait_until_up(name)
        return connections

    def _end_servers(self) -> None:
        for server in self.servers.values():
            with server:
                pass


@contextlib.asynccontextmanager
async def load(
    behind: BehindHaproxy, seed: int, devices: int
) -> AsyncIterator[tuple[WitnessedFleet, Commander]]:
    """Devices that send, and are told what to do."""
    fleet = WitnessedFleet(
        behind.haproxy.port, seed, interval_s=0.01 * devices, devices=devices, tls=behind.tls
    )
    async with fleet.running():
        commander = Commander(behind.valkey.url, fleet)
        async with commanding(commander):
            yield fleet, commander


async def roll(
    directory: Path,
    *,
    seed: int,
    devices: int,
    rounds: int,
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Restart each instance so many times, one after the other."""
    with BehindHaproxy(directory) as behind:
        began = monotonic()
        restarts = 0
        async with load(behind, seed, devices) as (fleet, commander):
            await asyncio.sleep(BEFORE_S)
            for name in INSTANCES * rounds:
                start = monotonic()
                connections = await asyncio.to_thread(behind.restart, name)
                restarts += 1
                tell(
                    f"{name} restarted in {monotonic() - start:.1f} s, {connections} devices "
                    f"moved; records acknowledged {fleet.records_acknowledged}, "
                    f"commands {commander.sent}"
                )
                await asyncio.sleep(BEFORE_S)
        seconds = monotonic() - began
        records = await asyncio.to_thread(compare, behind.client, fleet)
        commands = commander.count(behind.client)
    return Outcome(records, commands, restarts, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=30, help="how many (30)")
    parser.add_argument("--rounds", type=int, default=1, help="restarts of each instance (1)")
    parser.add_argument("--seed", type=int, default=1, help="of what the devices send (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    arguments = parser.parse_args()
    if not 1 <= arguments.devices <= 1_000:
        parser.error("--devices: 1 to 1000")
    if MISSING:
        parser.error(MISSING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end everything, as with Ctrl-C
    directory = Path(tempfile.mkdtemp(prefix="teltonika-rolling-"))
    outcome = None
    try:
        outcome = asyncio.run(
            roll(
                directory,
                seed=arguments.seed,
                devices=arguments.devices,
                rounds=arguments.rounds,
                tell=lambda line: None if arguments.json else print(line, flush=True),
            )
        )
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if outcome is None or outcome.failed:
            print(f"logs are in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory)
    print(outcome.json() if arguments.json else "\n".join(outcome.lines()))
    sys.exit(outcome.failed)


if __name__ == "__main__":
    main()
