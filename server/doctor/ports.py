"""Whether a server could listen where it is to."""

import errno
import socket

from teltonika.server.addresses import Peer, bound_sockets
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.errors import ListenError

CONNECT_TIMEOUT_S = 2.0
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def check_port(host: str, port: int) -> Finding:
    """TCP. One that is taken may be the server's, which runs already."""
    return _check_tcp("port", host, port, host_option="--host", port_option="--port")


def check_metrics_port(host: str, port: int) -> Finding:
    """The same for metrics and health."""
    return _check_tcp("metrics-port", host, port, host_option="--metrics", port_option="--metrics")


def _check_tcp(check: str, host: str, port: int, *, host_option: str, port_option: str) -> Finding:
    where = str(Peer(host, port))
    try:
        _take(host, port, socket.SOCK_STREAM)
    except ListenError as error:
        if not _is_taken(error):
            return _impossible(check, error, host_option)
        if _answers(host, port):
            return warning(
                check,
                f"{where} is taken, and who has it answers",
                f"nothing, if that is this server; else end it, or choose another {port_option}",
            )
        return failure(
            check, f"{where} is taken, and nobody answers there", f"choose another {port_option}"
        )
    return ok(check, "any free one" if port == 0 else f"{where} is free")


def check_udp_port(host: str, port: int) -> Finding:
    """The same for datagrams, where nobody can be asked who has it."""
    try:
        _take(host, port, socket.SOCK_DGRAM)
    except ListenError as error:
        if not _is_taken(error):
            return _impossible("udp-port", error, "--host")
        return warning(
            "udp-port",
            f"{Peer(host, port)} is taken",
            "nothing, if this server has it; else end who does, or choose another --udp-port",
        )
    return ok("udp-port", "any free one" if port == 0 else f"{Peer(host, port)} is free")


def _take(host: str, port: int, kind: socket.SocketKind) -> None:
    for one in bound_sockets(host, port, kind):
        one.close()


def _is_taken(error: ListenError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _impossible(check: str, error: ListenError, host_option: str) -> Finding:
    cause = error.__cause__
    if isinstance(cause, PermissionError):
        advice = "choose a port over 1023, or give the server CAP_NET_BIND_SERVICE"
    else:
        advice = f"name an address of this machine with {host_option}; 0.0.0.0 is every one"
    return failure(check, str(error), advice)


def _answers(host: str, port: int) -> bool:
    try:
        address = (EVERY_ADDRESS.get(host, host), port)
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
