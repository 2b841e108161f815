"""How far each command has come, in Redis: so that it ends once, whoever dies in between.

A command is *queued* (surely not written to a device), then *writing* (it may have been), then
*delivered*, then *ended*. That it is about to be written is stored before it is. Status and state
change in one step of Redis; every step can be repeated without harm. A command belongs to the run
that claimed it last: steps of any other run do nothing.

A step that Redis refuses because a key is of another type is asked for again until the key is
mended, one command's beside the others': what the command came to is known here, and nowhere else.
Until then its entry stands. If this run ends first, the next one tells that the instance was lost.
"""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum

from teltonika.codecs import MESSAGE_CODECS, CommandMessage
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.command import CommandRef, Entry
from teltonika.server.command_queue import Reason
from teltonika.server.command_status import CommandStatus, Delivered, Failed, Responded
from teltonika.server.entry_fields import as_arguments
from teltonika.server.errors import RedisRefusedError
from teltonika.server.keys import Keys
from teltonika.server.redis_link import Reply
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import COMMAND_STEP
from teltonika.server.steps import step
from teltonika.server.streams import MessageEntry

GROUP = "ingest"
REFUSED_PAUSE_S = 5.0
"""Before a step that was refused is asked for again."""


class Found(StrEnum):
    """In which state a claim finds a command."""

    QUEUED = "queued"
    WRITING = "writing"
    DELIVERED = "delivered"
    ENDED = "ended"
    DUPLICATE = "duplicate"
    """Another entry has the same command id."""
    UNKNOWN = "unknown"
    """Redis refuses to tell, or to let it be claimed."""


class CommandLedger:
    """States and statuses of the commands of one instance, written by one run of it."""

    def __init__(
        self,
        writer: RedisWriter,
        keys: Keys,
        run_id: str,
        *,
        remember_s: int,
        stream_maxlen: int,
    ) -> None:
        self._writer = writer
        self._keys = keys
        self._run_id = run_id
        self._remember_s = remember_s
        self._maxlen = stream_maxlen

    async def claim(self, ref: CommandRef) -> Found:
        """The command is this run's from now on, if it is not another entry's."""
        try:
            reply = await self._writer.call_script(
                COMMAND_STEP, self._of(ref), *self._who("claim", ref), lasting=True
            )
        except RedisRefusedError:
            return Found.UNKNOWN
        return Found(_text(reply))

    def prepare(self, ref: CommandRef, done: Callable[[bool], None]) -> None:
        """Store that the command may have been written; ``done`` says whether it may be."""
        self._writer.submit_script(
            lambda reply: done(_text(reply) == "done"),
            COMMAND_STEP,
            self._of(ref),
            *self._who("write", ref),
            refused=lambda _: done(False),
            lasting=True,
        )

    def deliver(self, ref: CommandRef, instance_id: str) -> None:
        """Tell that the whole frame was handed to the device's socket."""
        status = Delivered(ref.command_id, ref.imei, instance_id, ref.codec, _now())
        self._submit(lambda _: step("delivered"), "delivered", ref, status)

    def respond(
        self, ref: CommandRef, instance_id: str, answer: CommandMessage, done: Callable[[], None]
    ) -> None:
        """Tell the answer, then let go of the entry; ``done`` is called after that."""
        about = (ref.command_id, ref.imei, instance_id, ref.codec, _now())
        self._end(ref, Responded(*about, answer.text, answer.content.hex()), done)

    def fail(
        self,
        ref: CommandRef,
        instance_id: str,
        reason: Reason,
        detail: str,
        done: Callable[[], None],
    ) -> None:
        """Tell why there is no answer, then let go of the entry; ``done`` is called after that."""
        about = (ref.command_id, ref.imei, instance_id, ref.codec, _now())
        self._end(ref, Failed(*about, reason, detail), done)

    def release(self, entry: Entry, done: Callable[[], None]) -> None:
        """Acknowledge and delete an entry that is not, or no longer, a command's."""

        def released(_: Reply) -> None:
            step("released")
            done()

        def gone(_: RedisRefusedError) -> None:  # what stands under that key is no stream any more
            done()

        self._writer.submit(lambda _: None, "XACK", entry.stream, GROUP, entry.id)
        self._writer.submit(released, "XDEL", entry.stream, entry.id, refused=gone)

    def let_go(self, ref: CommandRef, done: Callable[[], None]) -> None:
        """The command has ended: release its entry, and from now on its id can be forgotten.

        Not before: while the entry stands, a run that starts must know what the command came to,
        however long nothing ran.
        """
        key = self._keys.command(ref.key)

        def released() -> None:
            self._writer.submit(lambda _: done(), "EXPIRE", key, self._remember_s)

        self.release(ref.entry, released)

    def unasked(self, imei: str, message: CommandMessage, done: Callable[[], None]) -> None:
        """Store a message that no command waits for. After a lost reply it may stand twice.

        Its ``ts`` is the device's own time where the codec has one (13 and 15), otherwise now.

        ``done`` is called once it is stored, or refused for ever: nothing waits for it then.
        """
        codec = MESSAGE_CODECS.by_id(message.codec_id).name
        sent_s = message.timestamp_s
        ts = _now() if sent_s is None else format_timestamp(sent_s * 1000)
        entry = MessageEntry(ts, imei, codec, message.text, message.content.hex())
        trim = ("MAXLEN", "~", self._maxlen) if self._maxlen else ()
        stream = self._keys.messages
        self._writer.submit(
            lambda _: done(),
            *("XADD", stream, *trim, "*", *as_arguments(entry)),
            refused=lambda _: done(),
        )

    def _end(self, ref: CommandRef, status: CommandStatus, done: Callable[[], None]) -> None:
        def ended(reply: Reply) -> None:
            step("ended")
            if _text(reply) == "done":
                self.let_go(ref, done)
            else:  # another run's by now: its entry is, too
                done()

        self._submit(ended, "end", ref, status)

    def _submit(
        self, done: Callable[[Reply], None], name: str, ref: CommandRef, status: CommandStatus
    ) -> None:
        arguments = (*self._who(name, ref), *as_arguments(status))

        def submit() -> None:
            keys = self._of(ref)
            self._writer.submit_script(
                done, COMMAND_STEP, keys, *arguments, refused=submit_later, lasting=True
            )

        def submit_later(_: RedisRefusedError) -> None:
            asyncio.get_running_loop().call_later(REFUSED_PAUSE_S, submit)

        submit()

    def _of(self, ref: CommandRef) -> tuple[str, str]:
        return self._keys.responses, self._keys.command(ref.key)

    def _who(self, name: str, ref: CommandRef) -> tuple[str | int, ...]:
        return name, str(ref.entry), self._run_id, self._maxlen


def _now() -> str:
    return format_timestamp(time.time_ns() // 1_000_000)


def _text(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
