"""A fault campaign: devices that know what they sent, and everything around them killed."""

import argparse
import asyncio
import contextlib
import math
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from rich.console import Console
from rich.table import Table

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from commander import CommandCount, commanding
from faults import Faults
from lasting_commander import LastingCommander
from rig import BREAK_EVERY, INSTANCES, Rig
from topology_faults import FAILOVERS, TopologyFaults
from topology_rig import ClusterRig, SentinelRig
from valkey_faults import ValkeyFaults
from valkey_rig import ValkeyRig
from witness import (
    DEVICES,
    Comparison,
    WitnessedFleet,
    compare,
    interval_of,
    records_expected,
)

HELP = """\
A fault campaign. Two instances share a Valkey that syncs every write; emulated devices send to
both, through a balancer. Instances and Valkey are killed and paused, the connections between them
cut, delayed and throttled, Valkey's disk filled, the instances' clocks set, devices broken off in
the middle of packets and ACKs or left half-open, in an order that the seed gives. Afterwards the
stream is compared with what the devices know: every acknowledged record stands on it exactly once,
and whatever stands on it was sent. Commands are sent meanwhile: each that Redis has kept has
exactly one end, and none is done twice.
"""
EXAMPLES = """\
examples:
  python tests/e2e/campaign.py                        one minute, a seed of its own
  python tests/e2e/campaign.py --minutes 30 --seed 7  a long one
  python tests/e2e/campaign.py --keep /tmp/campaign   logs of the instances and of the faults stay

The seed gives the order of the faults and their lengths, and the records. The moments at which
they hit are the machine's. Exit code: 0; 1 if a record was lost, doubled, or stored and never sent,
or a command was lost, ended twice or done twice.
"""


TOPOLOGIES = {"cluster": ClusterRig, "sentinel": SentinelRig}


@dataclass
class Report:
    seed: int
    seconds: float
    result: Comparison
    commands: CommandCount
    kills: int
    faults: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    """Faults that can't be done here, and why."""
    failovers: list[tuple[str, int]] = field(default_factory=list)
    """What kind each was of, and how many records it lost that were acknowledged."""

    @property
    def failed(self) -> bool:
        result = self.result
        return bool(result.lost or result.doubled or result.unsent or self.commands.lost)

    def print(self, console: Console) -> None:
        result, commands = self.result, self.commands
        console.print(
            f"seed {self.seed}, {self.seconds:g} s, {DEVICES} devices, {len(INSTANCES)} instances\n"
            f"records sent {result.sent}, acknowledged {result.acknowledged}, "
            f"stored {result.stored}\n"
            f"lost {result.lost}, doubled {result.doubled}, "
            f"stored and never sent {result.unsent}\n"
            f"{commands.line()}\n"
            f"commands lost: without end {commands.without_end}, ended twice "
            f"{commands.ended_twice}, done twice {commands.done_twice}, never done "
            f"{commands.never_done}; {commands.unsure} need not end: Redis may have lost them\n"
            f"kills {self.kills}",
            highlight=False,
        )
        table = Table("fault", "times")
        table.columns[1].justify = "right"
        for name, count in sorted(self.faults.items(), key=lambda item: item[0].lower()):
            table.add_row(name, str(count))
        for name, reason in self.left_out.items():
            table.add_row(f"{name}: left out, {reason}", "-")
        console.print(table)
        for kind, lost in self.failovers:
            console.print(f"{kind}: {lost} acknowledged records lost", highlight=False)
        for example in result.examples + commands.examples:
            console.print(example, highlight=False, soft_wrap=True)


class Campaign:
    """One campaign against a rig: what can be done to it is known when it runs.

    Each fault happens so many ``times`` at least. ``interval_s``: between a device's packets.
    """

    def __init__(
        self,
        rig: Rig,
        make_faults: Callable[[], Faults],
        seconds: float,
        seed: int,
        *,
        times: int = 1,
        interval_s: float | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.rig = rig
        self._make_faults = make_faults
        self._seconds = seconds
        self._seed = seed
        self._times = times
        self._interval_s = interval_s or interval_of(seconds)
        self._tell = tell

    async def run(self) -> Report:
        async with self.rig.running() as port:
            faults = self._make_faults()
            fleet = WitnessedFleet(port, self._seed, self._interval_s)
            commander = LastingCommander(self.rig.publishing_url, fleet, self.rig.replicas)
            try:
                async with (
                    fleet.running(),
                    commanding(commander),
                    self._progress(faults, fleet),
                ):
                    await faults.run(self._seconds, self._times)
            finally:
                history = "\n".join(faults.history)
                (self.rig.directory / "faults.log").write_text(f"{history}\n")
            result = await asyncio.to_thread(compare, self.rig.client, fleet, self.rig.streams)
            commands = await asyncio.to_thread(commander.count, self.rig.client)
        report = Report(self._seed, self._seconds, result, commands, self.rig.kills)
        report.faults = faults.done + faults.broken_off()
        report.restarts = faults.restarts
        report.left_out = self.rig.left_out
        if isinstance(faults, TopologyFaults):
            report.failovers = lost_in(faults.failovers, result.lost_at)
        return report

    @contextlib.asynccontextmanager
    async def _progress(self, faults: Faults, fleet: WitnessedFleet) -> AsyncIterator[None]:
        """A line a minute."""

        async def tell() -> None:
            minute = 0
            while True:
                await asyncio.sleep(60)
                minute += 1
                self._tell(
                    f"minute {minute}: records sent {fleet.records_sent}, "
                    f"acknowledged {fleet.records_acknowledged}; "
                    f"faults {faults.done.total()}, kills {self.rig.kills}"
                )

        task = asyncio.create_task(tell())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def lost_in(failovers: list[tuple[float, str]], lost_at: list[float]) -> list[tuple[str, int]]:
    """What each failover lost: it was acknowledged before its end, and after that of the last."""
    starts = [-math.inf, *(end for end, _ in failovers)]
    return [
        (kind, sum(start < at <= end for at in lost_at))
        for start, (end, kind) in zip(starts, failovers, strict=False)
    ]


def single(
    directory: Path,
    seconds: float,
    seed: int,
    faults: Iterable[str] = (),
    times: int = 1,
    break_every: int = BREAK_EVERY,
    tell: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Against one Valkey."""
    rig = ValkeyRig(directory, seed, records_expected(seconds), break_every)

    def make_faults() -> ValkeyFaults:
        return ValkeyFaults(rig, Random(seed), faults)

    return Campaign(rig, make_faults, seconds, seed, times=times, tell=tell)


def on_topology(
    kind: type[ClusterRig | SentinelRig],
    directory: Path,
    seconds: float,
    seed: int,
    durability: str = "replica",
    tell: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Against several; with less durability than ``replica`` failovers only, to see what they lose.

    Devices send less often: a failover takes seconds, in which nothing goes on, and the machine is
    the nodes' as well.
    """
    rig = kind(directory, seed, durability)
    names = () if durability == "replica" else FAILOVERS

    def make_faults() -> TopologyFaults:
        return TopologyFaults(rig, Random(seed), names)

    interval_s = 3 * interval_of(seconds)
    return Campaign(rig, make_faults, seconds, seed, interval_s=interval_s, tell=tell)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, help="repeat a campaign (random)")
    parser.add_argument(
        "--topology",
        choices=("single", *TOPOLOGIES),
        default="single",
        help="one Valkey, a cluster of six, or a primary with two replicas and three sentinels",
    )
    parser.add_argument(
        "--durability",
        choices=("replica", "fsync", "memory"),
        default="replica",
        help="of the instances on a topology; without replica only primaries are killed and cut "
        "off, and what that loses is counted, not judged (replica)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="where logs go and stay (a temporary directory, which stays if the campaign fails)",
    )
    arguments = parser.parse_args()
    if arguments.keep and arguments.keep.exists() and any(arguments.keep.iterdir()):
        parser.error(f"{arguments.keep} is not empty")
    seed = arguments.seed if arguments.seed is not None else SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end everything, as with Ctrl-C
    directory = arguments.keep or Path(tempfile.mkdtemp(prefix="teltonika-campaign-"))
    console = Console(width=None if sys.stdout.isatty() else 100)
    report = None
    try:
        report = asyncio.run(campaign_of(arguments, directory, seed).run())
        report.print(console)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        failed = report is None or (report.failed and arguments.durability == "replica")
        if arguments.keep or failed:
            print(f"logs are in {directory}", flush=True)
        else:
            shutil.rmtree(directory)
    sys.exit(failed)


def campaign_of(arguments: argparse.Namespace, directory: Path, seed: int) -> Campaign:
    def tell(line: str) -> None:
        print(line, flush=True)

    seconds = 60 * arguments.minutes
    if arguments.topology == "single":
        return single(directory, seconds, seed, tell=tell)
    kind = TOPOLOGIES[arguments.topology]
    return on_topology(kind, directory, seconds, seed, arguments.durability, tell)


if __name__ == "__main__":
    main()
