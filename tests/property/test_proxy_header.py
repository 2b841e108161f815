"""Whatever stands where a PROXY header should: a peer, or an error that says why."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from teltonika.server.proxy_header import ProxyHeaderError, read_proxy_header

PORTS = st.integers(0, 65_535)
V4 = st.tuples(st.ip_addresses(v=4), PORTS)
V6 = st.tuples(st.ip_addresses(v=6), PORTS)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
STREAM = socket.SOCK_STREAM


def read(sent: bytes) -> tuple[tuple[str, int] | None, bytes]:
    """What the header says, and what is left in the socket behind it."""

    async def through_a_socket() -> tuple[tuple[str, int] | None, bytes]:
        inside, outside = socket.socketpair()
        with inside, outside:
            inside.setblocking(False)
            outside.setblocking(True)
            outside.settimeout(10)
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(send, outside))
                source = await read_proxy_header(loop, inside)
                left = b""
                while more := await loop.sock_recv(inside, 65_536):
                    left += more
        return source, left

    def send(outside: socket.socket) -> None:
        try:
            outside.sendall(sent)
            outside.shutdown(socket.SHUT_WR)
        except OSError:  # the reader had seen enough
            pass

    return asyncio.run(through_a_socket())


@given(
    source=st.one_of(
        st.builds(ProxyResultIPv4, V4, V4, protocol=st.just(STREAM)),
        st.builds(ProxyResultIPv6, V6, V6, protocol=st.just(STREAM)),
    ),
    version=st.sampled_from([ProxyProtocolV1(), ProxyProtocolV2()]),
    behind=st.binary(max_size=50),
)
def test_a_header_is_read_to_its_last_byte_and_no_further(
    source: ProxyResultIPv4 | ProxyResultIPv6,
    version: ProxyProtocolV1 | ProxyProtocolV2,
    behind: bytes,
) -> None:
    address, port = source.source
    assert isinstance(address, IPv4Address | IPv6Address)
    assert read(version.pack(source) + behind) == ((str(address), port), behind)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(SIGNATURE.__add__, st.binary(max_size=300)),
        st.builds(b"PROXY ".__add__, st.binary(max_size=200)),
        st.builds(
            lambda kind, body: SIGNATURE + kind + len(body).to_bytes(2) + body,
            st.sampled_from([b"\x20\x00", b"\x21\x11", b"\x21\x21", b"\x21\x31", b"\x21\x12"]),
            st.binary(max_size=300),
        ),
    )
)
def test_nothing_raises_but_its_own_error(sent: bytes) -> None:
    try:
        read(sent)
    except* ProxyHeaderError as errors:
        for error in errors.exceptions:
            assert str(error)
