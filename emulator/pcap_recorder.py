"""What a device's connections say, written as a capture that Wireshark opens."""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import time
from typing import BinaryIO

import dpkt
from dpkt.ip import IP_PROTO_TCP, IP_PROTO_UDP
from dpkt.tcp import TH_ACK, TH_FIN, TH_PUSH, TH_RST, TH_SYN

from teltonika.codecs.transport import Transport
from teltonika.emulator.recording import Recording

_DEVICE_MAC = b"\x02\x00\x00\x00\x00\x01"
_SERVER_MAC = b"\x02\x00\x00\x00\x00\x02"
_WINDOW = 65_535
_WINDOW_SCALE = 14  # the largest there is: nobody's window is ever full
_SEGMENT_SIZE = 1_400
_SNAP_LENGTH = 65_535
_ISN_STEP = 0x9E3779B1
_SYN_OPTIONS = b"\x02\x04" + _SEGMENT_SIZE.to_bytes(2) + b"\x01\x03\x03" + bytes((_WINDOW_SCALE,))


class PcapRecorder:
    """Writes a pcap file. Several links may share one.

    The bytes are those that device and server mean, in the clear also where TLS carried them;
    Ethernet, IP and TCP or UDP are made up around them, addresses and ports are the real ones. Each
    packet is flushed, so the file can be read however the process ends. ``clock`` gives seconds
    since 1970-01-01 UTC.
    """

    def __init__(self, file: BinaryIO, clock: Callable[[], float] = time) -> None:
        self._file = file
        self._clock = clock
        self._writer = dpkt.pcap.Writer(file, snaplen=_SNAP_LENGTH)
        self._last_us = 0
        self._connections = 0
        file.flush()

    def opened(
        self, device: tuple[str, int], server: tuple[str, int], transport: Transport = Transport.TCP
    ) -> Recording:
        if transport is Transport.UDP:
            return DatagramRecording(self, device, server)
        # Ports are used again: sequence numbers far apart tell two connections from each other.
        isn = self._connections * _ISN_STEP % 2**32
        self._connections += 1
        return PcapRecording(self, device, server, isn)

    def write(self, frame: bytes) -> None:
        """One frame, at the clock's time, and never before the frame written last."""
        self._last_us = max(self._last_us, round(self._clock() * 1_000_000))
        seconds, microseconds = divmod(self._last_us, 1_000_000)
        self._writer.writepkt_time(frame, seconds + microseconds / 1_000_000)
        self._file.flush()


class _End:
    """One end of a connection: where it is, and how far its bytes have come."""

    def __init__(self, mac: bytes, address: tuple[str, int], isn: int) -> None:
        self.mac = mac
        self.ip = ip_address(address[0].partition("%")[0])
        self.port = address[1]
        self.next_seq = isn
        self.packets = 0


class PcapRecording:
    """One connection in a `PcapRecorder`'s file."""

    def __init__(
        self,
        recorder: PcapRecorder,
        device: tuple[str, int],
        server: tuple[str, int],
        isn: int,
    ) -> None:
        self._recorder = recorder
        self._device = _End(_DEVICE_MAC, device, isn)
        self._server = _End(_SERVER_MAC, server, isn ^ 0x80000000)
        self._segment(self._device, TH_SYN)
        self._segment(self._server, TH_SYN | TH_ACK)
        self._segment(self._device, TH_ACK)

    def sent(self, data: bytes) -> None:
        self._data(self._device, data)

    def received(self, data: bytes) -> None:
        self._data(self._server, data)

    def closed(self, *, by_server: bool, reset: bool) -> None:
        end, other = (self._server, self._device) if by_server else (self._device, self._server)
        if reset:
            self._segment(end, TH_RST | TH_ACK)
            return
        self._segment(end, TH_FIN | TH_ACK)
        self._segment(other, TH_FIN | TH_ACK)
        self._segment(end, TH_ACK)

    def _data(self, end: _End, data: bytes) -> None:
        for start in range(0, len(data), _SEGMENT_SIZE):
            self._segment(end, TH_PUSH | TH_ACK, data[start : start + _SEGMENT_SIZE])

    def _segment(self, here: _End, flags: int, data: bytes = b"") -> None:
        there = self._server if here is self._device else self._device
        options = _SYN_OPTIONS if flags & TH_SYN else b""
        segment = dpkt.tcp.TCP(
            sport=here.port,
            dport=there.port,
            seq=here.next_seq,
            ack=there.next_seq if flags & TH_ACK else 0,
            off=5 + len(options) // 4,
            flags=flags,
            win=_WINDOW,
            opts=options,
            data=data,
        )
        self._recorder.write(bytes(_ethernet(here, there, segment)))
        here.next_seq = (here.next_seq + len(data) + bool(flags & (TH_SYN | TH_FIN))) % 2**32


class DatagramRecording:
    """One socket in a `PcapRecorder`'s file: of its beginning and end nothing is to be seen."""

    def __init__(
        self, recorder: PcapRecorder, device: tuple[str, int], server: tuple[str, int]
    ) -> None:
        self._recorder = recorder
        self._device = _End(_DEVICE_MAC, device, 0)
        self._server = _End(_SERVER_MAC, server, 0)

    def sent(self, data: bytes) -> None:
        self._datagram(self._device, self._server, data)

    def received(self, data: bytes) -> None:
        self._datagram(self._server, self._device, data)

    def closed(self, *, by_server: bool, reset: bool) -> None:
        pass

    def _datagram(self, here: _End, there: _End, data: bytes) -> None:
        datagram = dpkt.udp.UDP(sport=here.port, dport=there.port, data=data)
        datagram.ulen = len(datagram)
        self._recorder.write(bytes(_ethernet(here, there, datagram)))


def _ethernet(
    here: _End, there: _End, segment: dpkt.tcp.TCP | dpkt.udp.UDP
) -> dpkt.ethernet.Ethernet:
    """``segment`` in IP in Ethernet. dpkt fills in lengths and checksums when it packs them."""
    here.packets = (here.packets + 1) % 2**16
    protocol = IP_PROTO_UDP if isinstance(segment, dpkt.udp.UDP) else IP_PROTO_TCP
    packet: dpkt.Packet
    if isinstance(here.ip, IPv6Address):
        packet = dpkt.ip6.IP6(
            src=here.ip.packed,
            dst=there.ip.packed,
            nxt=protocol,
            hlim=64,
            plen=len(segment),
            data=segment,
        )
        packet.extension_hdrs = {}
        kind = dpkt.ethernet.ETH_TYPE_IP6
    else:
        packet = dpkt.ip.IP(
            src=here.ip.packed,
            dst=there.ip.packed,
            p=protocol,
            ttl=64,
            id=here.packets,
            df=1,
            data=segment,
        )
        kind = dpkt.ethernet.ETH_TYPE_IP
    return dpkt.ethernet.Ethernet(src=here.mac, dst=there.mac, type=kind, data=packet)
