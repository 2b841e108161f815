"""Ingest: through real sockets to a confirmed, fsynced stream entry and back to the ACK.

Beside it the ceiling: the very same Redis commands, packed beforehand, sent by one bare client
over one connection to the same Valkey, replies read as they come. And an echo of the same bytes:
the same devices, and a server that does nothing but send back what it got.
"""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from statistics import quantiles
from urllib.parse import urlsplit

import hiredis
import msgspec

from benchmarks.figures import Figure
from benchmarks.senders import imei_of, latencies_s, one_by_one
from benchmarks.servers import Echo, running_protocol, running_server
from benchmarks.workloads import WORKLOADS, Workload
from teltonika.codecs import AvlPacket, decode_packet
from teltonika.server import Listening
from teltonika.server.keys import Keys
from teltonika.server.redis_link import pack_command
from teltonika.server.scripts import STORE_PACKET
from teltonika.server.streams import packet_arguments

MANY, ONE = WORKLOADS[0], WORKLOADS[3]
CONNECTIONS = (1, 100, 5_000)
PACKETS = {(MANY.name, 1): 1_500, (MANY.name, 100): 8_000, (MANY.name, 5_000): 30_000} | {
    (ONE.name, 1): 3_000,
    (ONE.name, 100): 30_000,
    (ONE.name, 5_000): 40_000,
}
"""Of each round: about a second."""
SERVER, CEILING, ECHO = "to the ACK", "ceiling", "echo"
IN_PACKETS = "packets to the ACK"
LATENCY_CONNECTIONS = 100
MAXLEN = 1_000_000
KEYS = Keys()
SHARD = KEYS.shards[0]


class Rates(msgspec.Struct, frozen=True):
    """Records a second."""

    to_the_ack: float
    ceiling: float


def measure(seed: int, part: int) -> Iterator[Figure]:
    """One round; everything is smaller by ``part``."""
    for workload in (MANY, ONE):
        for connections in CONNECTIONS:
            count = max(1, connections // part)
            each = max(1, PACKETS[workload.name, connections] // part // count)
            rates = measure_one(workload, count, each, seed)
            echoed = echo_rate(workload, count, each, seed)
            ours, ceiling, echo, packets = (
                name_of(workload, connections, what) for what in (SERVER, CEILING, ECHO, IN_PACKETS)
            )
            beside = [ceiling, echo]
            if connections > 100:
                beside.append(name_of(workload, 100, SERVER))
            yield Figure(ours, rates.to_the_ack, "records/s", tuple(beside))
            if workload.records_per_packet > 1:
                rate = rates.to_the_ack / workload.records_per_packet
                yield Figure(packets, rate, "packets/s")
            yield Figure(ceiling, rates.ceiling, "records/s")
            yield Figure(echo, echoed, "records/s")


def measure_one(workload: Workload, connections: int, each: int, seed: int) -> Rates:
    """So many connections that send ``each`` packets each."""
    packets = workload.packets(each, seed)
    records = connections * each * workload.records_per_packet
    with running_server() as server:
        ours_s = one_by_one(server.port, connections, packets, echo=False)
        ceiling_s = ceiling(server, connections, packets)
    return Rates(records / ours_s, records / ceiling_s)


def echo_rate(workload: Workload, connections: int, each: int, seed: int) -> float:
    """Records a second of the same bytes there and back: what sockets alone can do."""
    packets = workload.packets(each, seed)
    with running_protocol(Echo) as port:
        seconds = one_by_one(port, connections, packets, echo=True)
    return connections * each * workload.records_per_packet / seconds


def name_of(workload: Workload, connections: int, what: str) -> str:
    devices = "1 connection" if connections == 1 else f"{connections:,} connections"
    return f"{workload.name}, {devices}, {what}"


class Latency(msgspec.Struct, frozen=True):
    """Of ACKs, in milliseconds, at ``packets_per_second``."""

    packets_per_second: float
    p50: float
    p99: float
    p999: float


def measure_latency(seed: int, seconds: float, part: int) -> Iterator[Figure]:
    """One round: how long an ACK takes while devices send half of what they could, for so long;
    everything is smaller by ``part``."""
    for workload in (MANY, ONE):
        latency = latency_at_half(workload, LATENCY_CONNECTIONS, seed, seconds, part)
        yield Figure(f"{workload.name}, packets", latency.packets_per_second, "packets/s")
        yield Figure(f"{workload.name}, p50", latency.p50, "ms")
        yield Figure(f"{workload.name}, p99", latency.p99, "ms")
        yield Figure(f"{workload.name}, p99.9", latency.p999, "ms")


def latency_at_half(
    workload: Workload, connections: int, seed: int, seconds: float, part: int
) -> Latency:
    """First what so many devices can send, then half of it, for so long; both by ``part`` less."""
    with running_server() as server:
        # few connections wait for the disk after each packet
        most = PACKETS[workload.name, LATENCY_CONNECTIONS] // part // connections
        most = min(max(2, most), 800)
        packets = workload.packets(most, seed)
        took_s = one_by_one(server.port, connections, packets, echo=False)
        half = connections * most / took_s / 2
        # others than before: what is sent again is answered without being stored
        each = max(2, round(half * seconds / part / connections))
        packets = workload.packets(each, seed + 1)
        taken_ms = [1000 * taken for taken in latencies_s(server.port, connections, packets, half)]
    cuts = quantiles(taken_ms, n=1000, method="inclusive")
    return Latency(half, cuts[499], cuts[989], cuts[998])


def ceiling(server: Listening, devices: int, packets: Sequence[bytes]) -> float:
    """Seconds until Valkey has confirmed the same commands to a bare client."""
    decoded = [_avl_packet(packet) for packet in packets]
    commands = [
        pack_command(
            *("EVALSHA", STORE_PACKET.sha, 2, SHARD.telemetry, SHARD.dedupe, *arguments, number, 0)
        )
        for number, packet in enumerate(decoded, start=1)
        for device in range(500_000, 500_000 + devices)  # no devices of the server's
        for arguments, _ in (packet_arguments(imei_of(device), packet, MAXLEN, bytes(8)),)
    ]
    packed = b"".join(commands)
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(urlsplit(server.redis).path)
        connection.sendall(pack_command("SCRIPT", "LOAD", STORE_PACKET.source))
        connection.recv(1000)
        start = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(packed,))
        sender.start()
        missing = len(commands)
        while missing:
            reader.feed(connection.recv(65_536))
            while (reply := reader.gets()) is not False:
                assert reply == len(decoded[0].records), reply
                missing -= 1
        sender.join()
        return time.perf_counter() - start


def _avl_packet(packet: bytes) -> AvlPacket:
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    return decoded
