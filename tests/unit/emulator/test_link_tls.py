"""A device over real TLS, on either event loop, against servers it can trust and others."""

import asyncio
import logging
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
import uvloop
from certificates import Certificates
from tiny_server import Answer, TinyServer

from teltonika.codecs import COMMAND_CODECS, encode_message
from teltonika.emulator import (
    DeviceLink,
    DeviceMachine,
    DeviceObserver,
    EmulatorSettings,
    TlsSettings,
    assemble_device,
)

IMEI = "356307042441013"
NAMELESS = "it may speak no TLS, or demand a certificate of the device"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[asyncio.Runner]:
    """An event loop that has nothing to complain of in its log."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    return context


def demanding_context(certificates: Certificates) -> ssl.SSLContext:
    """A server's that wants to see a certificate of the CA's."""
    context = server_context(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    return context


def settings_for(port: int, tls: TlsSettings, **changes: object) -> EmulatorSettings:
    fields: dict[str, object] = {"interval_s": 0.0, "first_retry_s": 0.01, "max_retry_s": 0.05}
    return EmulatorSettings(port=port, tls=tls, records=6, **(fields | changes))  # type: ignore[arg-type]


def link_for(settings: EmulatorSettings, observer: DeviceObserver | None = None) -> DeviceLink:
    return DeviceLink(
        assemble_device(IMEI, settings, 1_760_000_000_000), settings, Random(0), observer
    )


class FirstTrouble(DeviceObserver):
    """Keeps the first reason for having no connection, and stops the device's link."""

    link: DeviceLink
    reason = ""

    def disconnected(self, device: DeviceMachine, reason: str, retry_in_s: float) -> None:
        if not self.reason:
            self.reason = reason
            asyncio.get_running_loop().call_soon(self.link.stop)


async def first_trouble(settings: EmulatorSettings) -> str:
    watch = FirstTrouble()
    watch.link = link_for(settings, watch)
    report = await watch.link.run()
    assert report.records_acknowledged == 0
    return watch.reason


@contextmanager
def openssl_server(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a server that takes one connection, and of which OpenSSL's alerts are heard."""

    def handshake() -> None:
        connection, _ = listener.accept()
        wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with pytest.raises(ssl.SSLError):
            wrapped.do_handshake()
        with socket.socket(fileno=wrapped.detach()) as raw:
            while raw.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=handshake)
        thread.start()
        yield listener.getsockname()[1]
        listener.settimeout(0.01)
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_delivers_over_tls(
    version: ssl.TLSVersion, runner: asyncio.Runner, certificates: Certificates
) -> None:
    context = server_context(certificates)
    context.minimum_version = context.maximum_version = version

    async def deliver() -> None:
        async with TinyServer(ssl=context) as server:
            tls = TlsSettings(ca_file=certificates.ca)
            report = await link_for(settings_for(server.port, tls)).run()
            (received,) = server.connections
        assert received.imei == IMEI
        assert len(received.records) == 6
        assert report.complete
        assert report.connections == 1

    runner.run(deliver())


def test_the_files_are_read_once_for_all_devices_and_connections(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    own = Certificates(tmp_path)
    context = demanding_context(own)
    tls = TlsSettings(
        ca_file=own.ca, cert_file=own.client_cert, key_file=own.client_key, server_name="localhost"
    )
    for path in tmp_path.iterdir():
        path.unlink()

    async def deliver() -> None:
        async with TinyServer([Answer.RIGHT, Answer.HANG_UP], ssl=context) as server:
            settings = settings_for(server.port, tls)
            reports = await asyncio.gather(*(link_for(settings).run() for _ in range(3)))
        assert all(report.complete for report in reports)
        assert sum(report.connections for report in reports) == len(server.connections) == 4

    runner.run(deliver())


@pytest.mark.parametrize("foreign", [True, False])
def test_a_certificate_that_is_not_trusted_is_refused(
    foreign: bool, runner: asyncio.Runner, certificates: Certificates
) -> None:
    async def run() -> None:
        tls = TlsSettings(ca_file=certificates.foreign_ca if foreign else None)
        async with TinyServer(ssl=server_context(certificates)) as server:
            reason = await first_trouble(settings_for(server.port, tls))
            assert server.connections == []
        assert reason.startswith("the server's certificate is not trusted: ")
        assert "_" not in reason

    runner.run(run())


@pytest.mark.parametrize("name", ["other.example", "127.0.0.2"])
def test_a_certificate_for_another_name_is_refused(
    name: str, runner: asyncio.Runner, certificates: Certificates
) -> None:
    async def run() -> None:
        tls = TlsSettings(ca_file=certificates.ca, server_name=name)
        async with TinyServer(ssl=server_context(certificates)) as server:
            reason = await first_trouble(settings_for(server.port, tls))
            assert server.connections == []
        assert reason == f"the server's certificate is not valid for '{name}'"

    runner.run(run())


def test_the_host_is_the_name_unless_another_is_told(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path, server_names=("tracker.example",))

    async def run() -> None:
        async with TinyServer(ssl=server_context(certificates)) as server:
            for_host = TlsSettings(ca_file=certificates.ca)
            reason = await first_trouble(settings_for(server.port, for_host))
            assert reason == "the server's certificate is not valid for '127.0.0.1'"
            for_name = TlsSettings(ca_file=certificates.ca, server_name="tracker.example")
            assert (await link_for(settings_for(server.port, for_name)).run()).complete

    runner.run(run())


def test_insecure_takes_any_certificate(runner: asyncio.Runner, certificates: Certificates) -> None:
    async def run() -> None:
        tls = TlsSettings(insecure=True, server_name="other.example")
        async with TinyServer(ssl=server_context(certificates)) as server:
            assert (await link_for(settings_for(server.port, tls)).run()).complete

    runner.run(run())


@pytest.mark.parametrize(
    ("version", "foreign", "ending"),
    [
        ("TLSv1_2", False, f" in the TLS handshake: {NAMELESS}"),
        (
            "TLSv1_2",
            True,
            " in the TLS handshake: it may speak no TLS, or not take the device's certificate",
        ),
        (
            "TLSv1_3",
            False,
            " before it answered the IMEI: it may demand a certificate of the device",
        ),
        (
            "TLSv1_3",
            True,
            " before it answered the IMEI: it may not take the device's certificate",
        ),
    ],
)
def test_a_server_that_just_closes_on_a_device_it_does_not_know_is_guessed_at(
    version: str, foreign: bool, ending: str, runner: asyncio.Runner, certificates: Certificates
) -> None:
    context = demanding_context(certificates)
    context.maximum_version = ssl.TLSVersion[version]
    tls = TlsSettings(
        ca_file=certificates.ca,
        cert_file=certificates.foreign_client_cert if foreign else None,
        key_file=certificates.foreign_client_key if foreign else None,
    )

    async def run() -> None:
        async with TinyServer(ssl=context) as server:
            reason = await first_trouble(settings_for(server.port, tls))
            assert server.connections == []
        assert reason.endswith(ending)

    runner.run(run())


@pytest.mark.parametrize(
    ("version", "foreign", "reason"),
    [
        (
            "TLSv1_2",
            False,
            "the server refused the TLS handshake: it may demand a certificate of the device",
        ),
        ("TLSv1_2", True, "the server does not trust the device's certificate"),
        ("TLSv1_3", False, "the server demands a certificate of the device"),
        ("TLSv1_3", True, "the server does not trust the device's certificate"),
    ],
)
def test_a_server_that_says_why_it_does_not_take_a_device_is_quoted(
    version: str, foreign: bool, reason: str, runner: asyncio.Runner, certificates: Certificates
) -> None:
    context = demanding_context(certificates)
    context.maximum_version = ssl.TLSVersion[version]
    tls = TlsSettings(
        ca_file=certificates.ca,
        cert_file=certificates.foreign_client_cert if foreign else None,
        key_file=certificates.foreign_client_key if foreign else None,
    )
    with openssl_server(context) as port:
        assert runner.run(first_trouble(settings_for(port, tls))) == reason


def test_a_server_of_tls_1_1_is_refused(runner: asyncio.Runner, certificates: Certificates) -> None:
    context = server_context(certificates)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with openssl_server(context) as port:
        reason = runner.run(first_trouble(settings_for(port, TlsSettings(insecure=True))))
    assert reason == "the server speaks no TLS from 1.2 on"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-tracker\r\n", "the server speaks no TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server speaks no TLS"),
        (b"\x00", f"the server closed the connection in the TLS handshake: {NAMELESS}"),
        (b"", f"the server closed the connection in the TLS handshake: {NAMELESS}"),
    ],
)
def test_a_server_without_tls_is_recognized(
    answer: bytes, reason: str, runner: asyncio.Runner
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async def run() -> str:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await first_trouble(settings_for(port, TlsSettings()))

    assert runner.run(run()) == reason


def test_a_handshake_without_an_answer_is_given_up(runner: asyncio.Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = settings_for(port, TlsSettings(), connect_timeout_s=0.2)
        assert runner.run(first_trouble(settings)) == "no answer to the TLS handshake"


def test_a_device_that_is_not_let_in_gives_up(
    runner: asyncio.Runner, certificates: Certificates
) -> None:
    class Troubles(DeviceObserver):
        count = 0

        def disconnected(self, device: DeviceMachine, reason: str, retry_in_s: float) -> None:
            self.count += 1

    async def run() -> None:
        troubles = Troubles()
        tls = TlsSettings(ca_file=certificates.foreign_ca)
        async with TinyServer(ssl=server_context(certificates)) as server:
            settings = settings_for(server.port, tls, give_up_after_s=0.5)
            report = await link_for(settings, troubles).run()
        assert report.gave_up
        assert troubles.count >= 2

    runner.run(run())


def test_cancelling_closes_the_connection(
    runner: asyncio.Runner, certificates: Certificates
) -> None:
    async def run() -> None:
        script = [Answer.RIGHT, Answer.SILENCE]
        async with TinyServer(script, ssl=server_context(certificates)) as server:
            tls = TlsSettings(ca_file=certificates.ca)
            task = asyncio.ensure_future(link_for(settings_for(server.port, tls)).run())
            await server.packet_came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.connections[0].closed.wait()

    runner.run(asyncio.wait_for(run(), 10))


def test_cancelling_in_the_midst_of_a_handshake_closes_the_connection(
    runner: asyncio.Runner,
) -> None:
    async def run() -> None:
        begun, closed = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)
            begun.set()
            await reader.read()
            writer.close()
            closed.set()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            task = asyncio.ensure_future(link_for(settings_for(port, TlsSettings())).run())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed.wait()

    runner.run(asyncio.wait_for(run(), 10))


@pytest.mark.parametrize("floods_with", ["acks", "commands"])
def test_a_server_that_sends_without_end_keeps_no_device_from_giving_up(
    floods_with: str, runner: asyncio.Runner, certificates: Certificates
) -> None:
    command = encode_message(COMMAND_CODECS.by_name("12").command("getver", IMEI))
    data = (b"\0\0\0\7" if floods_with == "acks" else command) * 10_000
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(OSError):
            await reader.read(17)
            writer.write(b"\1")
            while not reader.at_eof():
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def run() -> None:
        context = server_context(certificates)
        async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            tls = TlsSettings(ca_file=certificates.ca)
            report = await link_for(settings_for(port, tls, give_up_after_s=0.5)).run()
            await asyncio.gather(*talks)
        assert report.gave_up
        assert report.connections <= 1 + report.floods + report.wrong_acks

    runner.run(asyncio.wait_for(run(), 60))
