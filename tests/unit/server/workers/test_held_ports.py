"""Who can have a port that a supervisor holds."""

import socket

import pytest

from teltonika.server.addresses import bound_sockets
from teltonika.server.errors import ListenError
from teltonika.server.workers.held_ports import HeldPorts

HOST = "127.0.0.1"


def closed(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def test_workers_get_the_port_and_others_do_not() -> None:
    with HeldPorts(HOST, 0, None) as held:
        first = bound_sockets(HOST, held.port, socket.SOCK_STREAM, shared=True)
        first[0].listen()
        second = bound_sockets(HOST, held.port, socket.SOCK_STREAM, shared=True)
        second[0].listen()
        for workers in (first, second, []):  # with one of them, with none
            with pytest.raises(ListenError, match="Address already in use"):
                bound_sockets(HOST, held.port, socket.SOCK_STREAM)
            with pytest.raises(ListenError, match="Address already in use"):
                HeldPorts(HOST, held.port, None).__enter__()
            closed(workers)
    closed(bound_sockets(HOST, held.port, socket.SOCK_STREAM))


def test_the_supervisor_takes_no_connection_away_from_them() -> None:
    with HeldPorts(HOST, 0, None) as held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, held.port))
        (worker,) = bound_sockets(HOST, held.port, socket.SOCK_STREAM, shared=True)
        worker.listen()
        with worker:
            worker.setblocking(True)
            worker.settimeout(30)
            for _ in range(16):
                with socket.create_connection((HOST, held.port)), worker.accept()[0]:
                    pass


def test_a_udp_port_that_is_taken_is_refused() -> None:
    (taken,) = bound_sockets(HOST, 0, socket.SOCK_DGRAM, shared=True)
    with taken, pytest.raises(ListenError, match="cannot listen on UDP"):
        HeldPorts(HOST, 0, taken.getsockname()[1]).__enter__()
