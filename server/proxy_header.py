"""The PROXY protocol: whom a load balancer in front of the server speaks for.

Version 1 and 2 (HAProxy's "The PROXY protocol"), read by the library proxy-protocol. What stands
behind the header is left in the socket: it may be the beginning of TLS.
"""

import asyncio
import socket
import struct

from proxyprotocol import ProxyProtocolIncompleteError
from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

MAX_HEADER_SIZE = 4_096
"""Bytes. Version 1 has 107 at most; version 2 as many as the balancer adds notes."""

_PARSER = ProxyProtocolDetect(ProxyProtocolV1(), ProxyProtocolV2())


class ProxyHeaderError(Exception):
    """What came first is no PROXY header; the message says why."""


async def read_proxy_header(
    loop: asyncio.AbstractEventLoop, connection: socket.socket
) -> tuple[str, int] | None:
    """Address and port that the balancer names; None if it speaks for itself, or does not know.

    Reads the header to its last byte, and no further. Raises ProxyHeaderError, or OSError.
    """
    header = b""
    while True:
        try:
            source = _PARSER.unpack(header).peername
        except ProxyProtocolIncompleteError as error:
            wanted = error.want_read.want_bytes or 1  # version 1 is read to the end of its line
        except (ValueError, struct.error) as error:
            reason = str(error) or "its addresses are broken"
            raise ProxyHeaderError(f"{reason}: {header[:16].hex(' ')}") from None
        else:
            return (source[0], source[1]) if isinstance(source, tuple) else None
        if len(header) + wanted > MAX_HEADER_SIZE:
            raise ProxyHeaderError(f"it is longer than {MAX_HEADER_SIZE} bytes")
        more = await loop.sock_recv(connection, wanted)
        if not more:
            raise ProxyHeaderError(f"the connection ended after {len(header)} of its bytes")
        header += more
