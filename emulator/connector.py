"""A device's connections to its server: how they are made, and those that it just left."""

import asyncio
from collections import deque

from teltonika.codecs.transport import Transport
from teltonika.emulator.datagram_transport import open_datagrams
from teltonika.emulator.settings import EmulatorSettings

MAX_ABANDONED = 4
"""Connections that are left without a word; of more, the oldest is cut."""


class Connector:
    """Of one device."""

    __slots__ = ("_abandoned", "_settings")

    def __init__(self, settings: EmulatorSettings) -> None:
        self._settings = settings
        self._abandoned: deque[asyncio.Transport] = deque()

    async def connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """A connection that stands, over TLS if the settings say so; over UDP a socket that can be
        used like one. Raises OSError, of which a TimeoutError is one."""
        settings, loop = self._settings, asyncio.get_running_loop()
        timeout_s, tls = settings.connect_timeout_s, settings.tls
        if settings.transport is Transport.UDP:
            async with asyncio.timeout(timeout_s):
                return await open_datagrams(protocol, settings.host, settings.port)
        if tls is None:
            async with asyncio.timeout(timeout_s):
                transport, _ = await loop.create_connection(
                    lambda: protocol, settings.host, settings.port
                )
            return transport
        async with asyncio.timeout(2 * timeout_s):  # behind which the handshake's own may come
            transport, _ = await loop.create_connection(
                lambda: protocol,
                settings.host,
                settings.port,
                ssl=tls.context,
                server_hostname=tls.server_name or settings.host,
                ssl_handshake_timeout=timeout_s,
            )
        return transport

    def abandon(self, transport: asyncio.Transport) -> None:
        """Never write or read again; the server is not told before `close`, over UDP never."""
        if self._settings.transport is Transport.UDP:
            transport.abort()
            return
        transport.pause_reading()
        self._abandoned.append(transport)
        if len(self._abandoned) > MAX_ABANDONED:
            self._abandoned.popleft().abort()

    def close(self) -> None:
        """Cut what was abandoned."""
        while self._abandoned:
            self._abandoned.pop().abort()
