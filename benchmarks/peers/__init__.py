"""Decoders of others on the bytes of the same workloads, one thread, where they are installed.

None of them is needed: `pip install -e '.[bench]'` installs the one from PyPI, `npm ci` in this
folder those from npm. A figure counts only if the peer reads what we read: every record, position
and IO value of the first packet, and the number of records of all packets.

What each does for its figure:

- codecs-protocol (Python, codecs 8 and 8E): hex to dicts, every IO value decoded. No CRC, no second
  count; timestamps are text without milliseconds, and coordinates of west and south come out wrong,
  neither of which these workloads show.
- complete-teltonika-parser (JavaScript): hex to objects, every IO value decoded; a value wider than
  53 bits is decimal text. The CRC and both counts are checked.
- teltonika-parser (JavaScript, codecs 7 and 8): a Buffer to objects, every IO value decoded and
  given its name and unit. No CRC, no second count; 8-byte values are read as floating-point
  numbers, which is why it has no figure.

A fixed-width value may be read as signed or unsigned. Who wants hex is given it from the packet's
bytes within its time, as in a server. What `benchmarks.decode` measures with every IO value read is
what to compare with.
"""

from benchmarks.peers.javascript import JavaScriptPeer
from benchmarks.peers.javascript import runtime as javascript_runtime
from benchmarks.peers.peer import NotInstalledError, Peer, PeerError, first_difference
from benchmarks.peers.python import CodecsProtocol
from benchmarks.workloads import WORKLOADS, Workload

PEERS: tuple[Peer, ...] = (
    CodecsProtocol(),
    JavaScriptPeer("complete-teltonika-parser"),
    JavaScriptPeer("teltonika-parser"),
)
JAVASCRIPT = tuple(peer.name for peer in PEERS if isinstance(peer, JavaScriptPeer))
FEWER = 10
"""By so much fewer records they get than we do, so that a round takes a few seconds; those from npm
decode theirs again and again until they are warm, then for a quarter of a second."""


def measure(
    records: int, seed: int, peers: tuple[Peer, ...] = PEERS
) -> dict[str, dict[str, float | str]]:
    """Of each workload every peer's records a second in one round, or why there is no figure:
    "not installed: ..." or "fails: ..."; the caller interleaves and repeats rounds."""
    results: dict[str, dict[str, float | str]] = {}
    for workload in WORKLOADS:
        count = max(1, records // FEWER // workload.records_per_packet)
        packets = workload.packets(count, seed)
        results[workload.name] = {peer.name: figure(peer, workload, packets) for peer in peers}
    return results


def versions(peers: tuple[Peer, ...] = PEERS) -> dict[str, str]:
    """Each peer's version or "not installed: ...", and that of what runs JavaScript."""
    return {peer.name: _version(peer) for peer in peers} | {"node": javascript_runtime()}


def _version(peer: Peer) -> str:
    try:
        return peer.version()
    except NotInstalledError as error:
        return f"not installed: {error}"


def figure(peer: Peer, workload: Workload, packets: list[bytes]) -> float | str:
    """Records a second, once the peer has shown that it reads the first packet as we do."""
    try:
        peer.version()
        if difference := first_difference(peer.read(packets[0]), packets[0]):
            return f"fails: {difference}"
        timed = peer.time(packets)
    except NotInstalledError as error:
        return f"not installed: {error}"
    except PeerError as error:
        return f"fails: {error}"
    expected = timed.packets * workload.records_per_packet
    if timed.records != expected:
        return f"fails: {timed.records} records in {timed.packets} packets that hold {expected}"
    return timed.records / timed.seconds
