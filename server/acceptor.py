"""The port: takes connections within the limits, and makes sessions of them.

Sockets are accepted here, not by the event loop's own server, because three things come before a
session: the limits, the header of a load balancer, and TLS. Each that is refused is closed at once,
so that a device or a balancer knows. Without free file descriptors connections wait in the kernel.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable

import structlog

from teltonika.codecs.tls_files import openssl_words
from teltonika.server.addresses import Peer, bound_sockets
from teltonika.server.connection_limits import ConnectionLimits
from teltonika.server.counters import Counters
from teltonika.server.handshake_turns import HandshakeTurns
from teltonika.server.peer_log import PeerLog
from teltonika.server.proxy_header import ProxyHeaderError, read_proxy_header
from teltonika.server.session import Session
from teltonika.server.tls import ServerTls

log = structlog.get_logger()

BACKLOG = 4096
KERNEL_BUFFER_BYTES = 32_768
"""For what a device sends and the server has not read, and for what the device has not: Linux takes
twice as much, and without it up to 6 MiB a connection. No device sends 32 KiB ahead of its ACKs."""
STRANGER_PAUSE_S = 0.001
"""Strangers that are closed and come again at once take so much less of the processor's time from
the devices that are connected."""
MOST_STRANGERS = 20
"""So many are paused for at a time at most: devices that come meanwhile wait, too."""
SHORTAGE_PAUSE_S = 0.5
"""Between two tries to accept while descriptors or buffers are short."""
SHORTEST_HANDSHAKE_S = 0.1
"""For one that had to wait for its turn almost as long as it may take."""
TLS_SHUTDOWN_TIMEOUT_S = 1.0
"""For the other end to agree that the connection ends; nothing depends on it."""
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """`bind`, `listen`, then `run` as a task, then `close`."""

    def __init__(
        self,
        make_session: Callable[[Peer], Session],
        limits: ConnectionLimits,
        peer_log: PeerLog,
        counters: Counters,
        *,
        tls: ServerTls | None,
        proxy_protocol: bool,
        handshake_timeout_s: float,
        turns: HandshakeTurns,
        stranger_pause_s: float = STRANGER_PAUSE_S,
    ) -> None:
        """``handshake_timeout_s``: for the balancer's header, and for TLS. ``stranger_pause_s``:
        nobody is accepted for so long for each connection that has ended without an IMEI."""
        self._make_session = make_session
        self._limits = limits
        self._peer_log = peer_log
        self._counters = counters
        self._tls = tls
        self._proxy_protocol = proxy_protocol
        self._handshake_timeout_s = handshake_timeout_s
        self._turns = turns
        self._sockets: list[socket.socket] = []
        self._closed = asyncio.Event()
        self._short = False
        self._stranger_pause_s = stranger_pause_s
        self._strangers = 0
        self._listens = False

    def bind(self, host: str, port: int, *, shared: bool = False) -> int:
        """Take the port, 0 for any, on each address of ``host``; which one it is.

        ``shared``: with other processes of this server.

        Nobody can connect before `listen`. Raises ListenError.
        """
        self._sockets = bound_sockets(host, port, socket.SOCK_STREAM, shared=shared)
        for bound in self._sockets:  # connections inherit it
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        return int(self._sockets[0].getsockname()[1])

    def listen(self) -> None:
        """Let peers connect; `run` takes them in."""
        for listening in self._sockets:
            listening.listen(BACKLOG)
        self._listens = True

    @property
    def is_open(self) -> bool:
        """Whether peers can connect."""
        return self._listens and not self._closed.is_set()

    async def run(self) -> None:
        """Accept until `close`, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                accepting = [group.create_task(self._accept(one, group)) for one in self._sockets]
                await self._closed.wait()
                for task in accepting:
                    task.cancel()
        finally:
            self._close_sockets()

    def stranger_left(self) -> None:
        """A connection has ended, and no device was at its other end."""
        self._strangers += 1
        self._counters.strangers += 1

    def close(self) -> None:
        """Listen no more, from this moment on; who is just coming in may still."""
        self._closed.set()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._strangers:
                seconds = min(self._strangers, MOST_STRANGERS) * self._stranger_pause_s
                self._strangers = 0
                await asyncio.sleep(seconds)
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _SHORTAGES:
                    await self._wait_for_descriptors(error)
                continue  # or the peer had given up by then
            if self._short:
                self._short = False
                log.warning("accepting_again", connections=self._limits.open)
            peer = Peer.at(address)
            if self._limits.enter():
                group.create_task(self._admit(connection, peer))
            else:
                connection.close()
                self._refused(peer, "connection_refused", limit="--max-connections")

    async def _wait_for_descriptors(self, error: OSError) -> None:
        """Who has them may be another process: there is nothing but time to wait for."""
        self._counters.descriptor_shortages += 1
        if not self._short:
            self._short = True
            log.error("cannot_accept", error=error.strerror, connections=self._limits.open)
        await asyncio.sleep(SHORTAGE_PAUSE_S)

    async def _admit(self, connection: socket.socket, peer: Peer) -> None:
        """From an accepted socket to a session; one that fails before is closed and told of."""
        session: Session | None = None
        try:
            peer = await self._behind_balancer(connection, peer)
            if not self._limits.enter_from(peer.host):
                limit = "--max-per-address"
                self._refused(peer, "connection_refused", limit=limit)
                return
            session = self._make_session(peer)
            await self._open(connection, session, peer)
        except ProxyHeaderError as error:
            self._counters.proxy_header_failures += 1
            self._refused(peer, "proxy_header_failed", error=str(error))
        except ssl.SSLError as error:
            self._counters.tls_failures += 1
            self._refused(peer, "tls_failed", error=openssl_words(error))
        except (TimeoutError, ConnectionAbortedError):  # the second is what TLS says
            self._counters.handshake_timeouts += 1
            self._refused(peer, "handshake_timeout")
        except OSError as error:  # the peer is gone
            self._say(logging.DEBUG, peer, "connection_lost", error=str(error))
        except Exception:
            self._say(logging.ERROR, peer, "connection_failed", exc_info=True)
        finally:
            if session is None or not session.opened:
                connection.close()
                self.stranger_left()
                self._limits.leave()
                if session is not None:
                    self._limits.leave_from(peer.host)

    async def _behind_balancer(self, connection: socket.socket, peer: Peer) -> Peer:
        if not self._proxy_protocol:
            return peer
        async with asyncio.timeout(self._handshake_timeout_s), self._turns.turn(None):
            source = await read_proxy_header(asyncio.get_running_loop(), connection)
        return peer if source is None else Peer.at(source)

    async def _open(self, connection: socket.socket, session: Session, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            await loop.connect_accepted_socket(lambda: session, connection)
            return
        end = loop.time() + self._handshake_timeout_s
        async with contextlib.AsyncExitStack() as turn:
            async with asyncio.timeout_at(end):
                await turn.enter_async_context(self._turns.turn(peer.host))
            await loop.connect_accepted_socket(
                lambda: session,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=max(SHORTEST_HANDSHAKE_S, end - loop.time()),
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )

    def _refused(self, peer: Peer, event: str, **fields: object) -> None:
        self._say(logging.WARNING, peer, event, **fields)

    def _say(self, level: int, peer: Peer, event: str, **fields: object) -> None:
        self._peer_log.say(level, peer.host, event, peer=str(peer), **fields)
