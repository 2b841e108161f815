"""A stream of commands to devices that move, from somebody who keeps count."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from serving import RESPONSES
from witness import SHOWN, WitnessedFleet

from teltonika.server.client import TERMINAL, CommandClient, NotConnectedError
from teltonika.server.clients import Client
from teltonika.server.command import CommandEntry
from teltonika.server.keys import Keys

SENDERS = 3
PAUSE_S = 0.05
"""Between two commands of one sender, and before it looks for a device again."""
WAIT_S = 60.0
"""For a command's end: longer than its time-out, and than a restart."""


@dataclass
class CommandCount:
    wanted: int = 0
    """Things that devices were to do."""
    sent: int = 0
    """Commands for it: one that failed before it reached its device is followed by another."""
    responded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Reason of each that failed, to how often."""
    undecided: int = 0
    """Things that nobody says are done: their command reached its device, and no answer came."""
    without_end: int = 0
    ended_twice: int = 0
    done_twice: int = 0
    never_done: int = 0
    """Answered, and the device knows nothing of it."""
    unsure: int = 0
    """Sent, and nobody can say whether Redis has kept them: they need not end."""
    examples: list[str] = field(default_factory=list)
    """The first of those that are lost."""

    @property
    def lost(self) -> int:
        return self.without_end + self.ended_twice + self.done_twice + self.never_done

    def line(self) -> str:
        failed = ", ".join(f"{times} {reason}" for reason, times in self.failed.most_common())
        return (
            f"commands sent {self.sent} for {self.wanted} things to do; "
            f"answered {self.responded}, failed: {failed or 'none'}; "
            f"delivered and not answered {self.undecided}"
        )


class Commander:
    """Tells devices to do things, each one once, from `start` to `stop`."""

    def __init__(self, redis_url: str, fleet: WitnessedFleet) -> None:
        self._url = redis_url
        self._fleet = fleet
        self._stop = threading.Event()
        self._numbers = count()
        self._texts: dict[str, str] = {}
        """Command id to text; several ids have one text where it was sent again."""
        self._unsure: set[str] = set()
        """Ids of those that Redis may not have kept."""
        self._pool = ThreadPoolExecutor(SENDERS)
        self._senders: list[Future[None]] = []

    def start(self) -> None:
        self._senders = [self._pool.submit(self._send_commands) for _ in range(SENDERS)]

    def stop(self) -> None:
        """Return once every command that was sent has ended."""
        self._stop.set()
        self._pool.shutdown()

    @property
    def sent(self) -> int:
        return len(self._texts)

    def _send_commands(self) -> None:
        client = CommandClient(self._url, Keys())
        while not self._stop.wait(PAUSE_S):
            number = next(self._numbers)
            link = self._fleet.links[number % len(self._fleet.links)]
            text = f"setparam {2_000 + number % 100}:{number}"
            end = time.monotonic() + WAIT_S
            for attempt in count():
                if self._is_settled(client, link.device.imei, text, f"{number}/{attempt}"):
                    break
                assert time.monotonic() < end, f"{text}: not told in {WAIT_S:g} s"
                time.sleep(PAUSE_S)

    def _is_settled(self, client: CommandClient, imei: str, text: str, command_id: str) -> bool:
        """Whether the device did it, or may have: then it must not be told again."""
        try:
            instance = client.instance_of(imei)
        except NotConnectedError:
            return False
        self._texts[command_id] = text
        command = CommandEntry(command_id=command_id, imei=imei, payload=text)
        statuses = [status["status"] for status in client.send(instance, command, WAIT_S)]
        return not {"delivered", "responded"}.isdisjoint(statuses)

    def count(self, client: Client) -> CommandCount:
        """What became of all, as the stream of statuses and the devices say."""
        for sender in self._senders:
            sender.result()
        told: dict[str, list[str]] = {command_id: [] for command_id in self._texts}
        found = CommandCount(
            wanted=len(set(self._texts.values())),
            sent=self.sent,
            unsure=len(self._unsure),
        )
        done: Counter[str] = Counter()
        for link in self._fleet.links:
            done.update(link.device.report.commands)
        for entry, status in client.xrange(RESPONSES):
            command_id, name = status["command_id"], status["status"]
            if command_id not in told:
                continue
            told[command_id].append(f"{name} {status.get('reason', '')} at {entry}")
            if name == "responded":
                found.responded += 1
            elif name in TERMINAL:
                found.failed[status["reason"]] += 1
        for command_id, statuses in told.items():
            self._judge(command_id, statuses, done[self._texts[command_id]], found)
        found.done_twice = sum(times > 1 for times in done.values())
        return found

    def _judge(self, command_id: str, statuses: list[str], done: int, found: CommandCount) -> None:
        ends = [status for status in statuses if status.startswith(TERMINAL)]
        without_end = not ends and command_id not in self._unsure
        is_answered = any(end.startswith("responded") for end in ends)
        never_done = is_answered and not done
        found.undecided += not is_answered and any(one.startswith("delivered") for one in statuses)
        found.without_end += without_end
        found.ended_twice += len(ends) > 1
        found.never_done += never_done
        if (without_end or never_done or len(ends) > 1 or done > 1) and len(found.examples) < SHOWN:
            found.examples.append(
                f"command {command_id} ({self._texts[command_id]}): done {done} times; "
                f"{', '.join(statuses) or 'no status'}"
            )


@contextlib.asynccontextmanager
async def commanding(commander: Commander) -> AsyncIterator[None]:
    """It sends while the body runs; afterwards devices go on until every command has ended."""
    commander.start()
    try:
        yield
    finally:
        await asyncio.to_thread(commander.stop)
