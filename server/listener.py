"""All connections of an instance: knows each one."""

import asyncio
import logging

import structlog

from teltonika.server.acceptor import Acceptor
from teltonika.server.addresses import Peer
from teltonika.server.allowance import BURST_S, Allowances
from teltonika.server.authority import Admission, AllowList, Authority
from teltonika.server.command_dispatcher import CommandDispatcher
from teltonika.server.command_ledger import CommandLedger
from teltonika.server.config import ServerSettings
from teltonika.server.connection_limits import ConnectionLimits, connections_possible
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.counters import Counters, Unconfirmed
from teltonika.server.datagram_intake import DatagramIntake
from teltonika.server.deployment import Deployment
from teltonika.server.durability import Promise
from teltonika.server.handshake_turns import HandshakeTurns
from teltonika.server.peer_log import PeerLog
from teltonika.server.publisher import Publisher
from teltonika.server.publishers import Publishers
from teltonika.server.session import Pause, Session
from teltonika.server.silence_watch import SilenceWatch
from teltonika.server.tls import ServerTls
from teltonika.server.trace import Tracer
from teltonika.server.turns import Turns
from teltonika.server.udp import UdpPort

log = structlog.get_logger()

WATCH_PERIOD_S = 1.0
ALL = "all devices"
"""In place of an address, for lines that devices cause together."""
_STOPS = "server stops"


class Listener:
    """All sessions of an instance."""

    def __init__(
        self,
        settings: ServerSettings,
        redis: Deployment,
        promise: Promise,
        instance_id: str,
        registry: ConnectionRegistry,
        ledger: CommandLedger,
        tls: ServerTls | None,
        counters: Counters,
    ) -> None:
        self.settings = settings
        self.counters = counters
        self.publishers = Publishers(
            redis,
            settings.keys,
            settings.stream_maxlen,
            settings.max_unconfirmed_total_bytes,
            promise,
            counters,
            full=self._pause,
            drained=self._resume,
        )
        self.now = asyncio.get_running_loop().time
        self.unfinished_bytes = 0
        """Of large packets that are not all there yet, on all connections."""
        self.port = 0
        """The one that `bind` took."""
        self.udp_port: int | None = None
        """Likewise; None where there is none."""
        self.turns = Turns()
        rate = settings.max_device_rate
        self.device_bytes = Allowances(rate, BURST_S * rate)
        """What each device may send, by its IMEI."""
        self.peer_log = PeerLog(settings.log_lines_per_peer, counters)
        self._limits = ConnectionLimits(
            connections_possible(settings.max_connections),
            settings.max_connections_per_address,
            counters,
        )
        self._acceptor = Acceptor(
            self._make_session,
            self._limits,
            self.peer_log,
            counters,
            tls=tls,
            proxy_protocol=settings.proxy_protocol,
            handshake_timeout_s=settings.handshake_timeout_s,
            turns=HandshakeTurns(settings.max_handshakes, counters),
        )
        self._sessions: set[Session] = set()
        self._silence = SilenceWatch(
            self._sessions,
            counters,
            handshake_timeout_s=settings.handshake_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )
        self._by_imei: dict[str, Session] = {}
        self._registry = registry
        self.allow_list: AllowList | None = None
        if settings.authority is Authority.ALLOW_LIST:
            self.allow_list = AllowList(
                redis, settings.keys, settings.authority_refresh_s, self._allow_list_changed
            )
        self.admission = Admission(
            self.allow_list, strict=settings.strict, require_luhn=settings.require_luhn
        )
        self.tracer = Tracer(
            redis,
            settings.keys,
            instance_id,
            settings.max_packet_size,
            self._traced_devices_changed,
        )
        self.commands = CommandDispatcher(
            self._by_imei, ledger, settings, instance_id, self.peer_log, counters
        )
        self._datagrams = DatagramIntake(
            settings,
            self.publishers,
            self.admission,
            self.commands,
            self.peer_log,
            counters,
            self.tracer,
        )
        self._udp = UdpPort(self._datagrams)
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> int:
        return len(self._sessions)

    @property
    def devices(self) -> int:
        """Connections that have said their IMEI."""
        return len(self._by_imei)

    @property
    def is_open(self) -> bool:
        """Whether devices can connect."""
        return self._acceptor.is_open

    @property
    def draining(self) -> bool:
        """Whether nothing more is taken in."""
        return self._draining

    @property
    def waiting_datagrams(self) -> int:
        """Datagrams that wait for their confirmation."""
        return self._datagrams.waiting

    def bind(self) -> None:
        """Take the ports; nobody can connect before `listen`. Raises ListenError."""
        host, shared = self.settings.host, self.settings.shares_ports
        self.port = self._acceptor.bind(host, self.settings.port, shared=shared)
        if self.settings.udp_port is not None:
            self.udp_port = self._udp.bind(host, self.settings.udp_port, shared=shared)

    def listen(self) -> None:
        """Let devices connect; `accept` takes them in."""
        self._acceptor.listen()

    async def accept(self) -> None:
        """Accept devices until `drain`, or until cancelled."""
        await self._acceptor.run()

    async def receive_datagrams(self) -> None:
        """Take datagrams in until `drain`, and send answers until cancelled."""
        await self._udp.run()

    async def watch(self) -> None:
        """End connections that do not say their IMEI in time, or have been silent too long.

        And give up devices whose datagrams wait, and who are not heard of again.
        """
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            now = self.now()
            self.peer_log.tick(now)
            self._datagrams.give_up()
            self._silence.tick(now)

    async def drain(self, deadline: float) -> None:
        """Take nothing more in; store and acknowledge what was read; close every connection.

        A device whose command is under way is read on until it has answered. What is left at
        ``deadline``, on the loop's clock, is closed unacknowledged: devices keep it.
        """
        self._draining = True
        self._acceptor.close()
        self._datagrams.stop()
        self.commands.stop(self._end_session)
        for session in list(self._sessions):
            if not self.commands.awaits_answer(session.imei):
                session.end(_STOPS)
        try:
            async with asyncio.timeout_at(deadline):
                await self._empty.wait()
                await self._datagrams.settled()
        except TimeoutError:
            log.warning(
                "drain_timeout",
                connections=len(self._sessions),
                unconfirmed_packets=self.publishers.unconfirmed_packets,
                commands=self.commands.abandon(),
            )
            self._datagrams.give_up(all_of_them=True)
            for session in list(self._sessions):
                session.abort(_STOPS)
            await self._empty.wait()

    def _end_session(self, imei: str) -> None:
        """No command waits for this device's answer any more, and the server stops."""
        session = self._by_imei.get(imei)
        if session is not None:
            session.end(_STOPS)

    def _make_session(self, peer: Peer) -> Session:
        return Session(self, peer)

    # -- sessions call these ---------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        self.counters.connections += 1
        self._sessions.add(session)
        self._silence.opened(session)
        self._empty.clear()
        if self._draining:
            session.abort(_STOPS)
        elif self.publishers.are_full:
            session.pause(Pause.ALL_BYTES)
            # uvloop begins to read after `connection_made`, whatever is said there
            asyncio.get_running_loop().call_soon(session.stop_reading)

    def session_identified(self, session: Session) -> None:
        """The newest connection of an IMEI is the device; an older one is half-open or a ghost."""
        assert session.imei is not None
        older = self._by_imei.get(session.imei)
        self._by_imei[session.imei] = session
        self._registry.connected(session.imei)
        if older is not None:
            self.counters.takeovers += 1
            older.abort("taken over by a newer connection")
        self.commands.connected(session.imei, again=older is not None)

    def session_unusable(self, session: Session) -> None:
        """The device can't be reached there any more, though the socket may still be open."""
        if session.imei is not None and self._by_imei.get(session.imei) is session:
            del self._by_imei[session.imei]
            self._registry.disconnected(session.imei)
            self.commands.disconnected(session.imei)

    def session_closed(self, session: Session) -> None:
        self._sessions.discard(session)
        self._silence.closed(session)
        self._limits.leave()
        self._limits.leave_from(session.peer.host)
        if session.imei is None:
            self._acceptor.stranger_left()
        self.session_unusable(session)
        if not self._sessions:
            self._empty.set()

    def _allow_list_changed(self) -> None:
        if not self.settings.strict:
            return
        for session in [s for s in self._sessions if s.connection and not s.known]:
            self.counters.allow_list_evictions += 1
            session.abort("taken off the allow-list")

    def _traced_devices_changed(self) -> None:
        for session in self._sessions:
            session.traced_devices_changed()

    # -- publishers call these -------------------------------------------------------------

    def _pause(self, publisher: Publisher) -> None:
        self.counters.backpressure_pauses[Unconfirmed.ALL] += 1
        unconfirmed = publisher.unconfirmed_packets
        self.peer_log.say(logging.WARNING, ALL, "backpressure", unconfirmed_packets=unconfirmed)
        for session in self._sessions:
            if session.publisher is publisher or self.publishers.are_full:
                session.pause(Pause.ALL_BYTES)

    def _resume(self, publisher: Publisher) -> None:
        for session in self._sessions:
            if session.publisher in (None, publisher):
                session.resume(Pause.ALL_BYTES)
