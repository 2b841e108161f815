"""TLS between devices and the server, with real certificates."""

import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from certificates import Certificates
from serving import IMEI, STREAM, BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def own(tmp_path: Path) -> Certificates:
    """Certificates that a test may change."""
    return Certificates(tmp_path / "own")


def tls(certificates: Certificates) -> tuple[str, ...]:
    return (
        *("--tls-cert", str(certificates.server_cert)),
        *("--tls-key", str(certificates.server_key)),
    )


def mutual(certificates: Certificates) -> tuple[str, ...]:
    return (*tls(certificates), "--tls-client-ca", str(certificates.ca))


class TlsDevice(BareDevice):
    """A bare device whose socket speaks TLS; its server's certificate in ``certificate``."""

    def __init__(self, port: int, context: ssl.SSLContext, imei: str | None = IMEI) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket = plain
        try:
            self.socket = context.wrap_socket(plain, server_hostname="localhost")
            self.certificate = self.socket.getpeercert(binary_form=True)
            if imei is not None:
                self.send(encode_imei(imei))
                assert self.receive(1) == b"\x01"
        except BaseException:
            self.socket.close()
            raise


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


def told(server: ServerProcess, event: str) -> list[dict[str, str]]:
    server.wait_for_log(event)
    return server.logged(event)


def test_records_come_in_over_tls_and_are_acknowledged(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(certificates))
    with TlsDevice(server.port, trusting(certificates)) as device:
        assert device.socket.version() in ("TLSv1.2", "TLSv1.3")
        for number in range(50):
            device.send(packet(number))
        assert {device.acknowledged() for _ in range(50)} == {1}
    assert server.redis.xlen(STREAM) == 50
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions(
    version: ssl.TLSVersion, certificates: Certificates, start_server: StartServer
) -> None:
    context = trusting(certificates)
    context.minimum_version = context.maximum_version = version
    server = start_server(*tls(certificates))
    with TlsDevice(server.port, context) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_older_version_is_refused_in_one_line(
    certificates: Certificates, start_server: StartServer
) -> None:
    context = trusting(certificates)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = start_server(*tls(certificates))
    with pytest.raises((ssl.SSLError, OSError)):
        TlsDevice(server.port, context)
    assert "unsupported protocol" in told(server, "tls_failed")[0]["error"]


def test_plain_bytes_on_a_tls_port_end_in_one_line(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(certificates))
    with TlsDevice(server.port, trusting(certificates), OTHER) as device:
        with BareDevice(server.port, imei=None) as plain:
            plain.send(encode_imei(IMEI) + packet(1))
            plain.socket.settimeout(30)
            while plain.socket.recv(100):  # an alert, and the end
                pass
        device.send(packet(2))
        assert device.acknowledged() == 1
    assert len(told(server, "tls_failed")) == 1
    assert server.redis.xlen(STREAM) == 1
    server.stop()
    assert server.logged("stopped")[0]["tls_failures"] == 1
    assert "Traceback" not in server.log_text()


def test_a_handshake_that_is_never_finished_is_ended(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(certificates), "--handshake-timeout", "0.5")
    with BareDevice(server.port, imei=None) as slow:
        slow.send(bytes.fromhex("160301"))
        assert slow.closed_by_server()
    assert len(told(server, "handshake_timeout")) == 1
    server.stop()
    assert server.logged("stopped")[0]["handshake_timeouts"] == 1


def test_half_handshakes_of_one_address_keep_no_device_of_another_out(
    certificates: Certificates, start_server: StartServer
) -> None:
    limits = ("--max-handshakes", "8", "--handshake-timeout", "60", "--drain-timeout", "0")
    server = start_server(*tls(certificates), *limits)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        server.wait_for_log("handshakes_wait")
        plain = socket.create_connection(
            ("127.0.0.1", server.port), timeout=30, source_address=("127.0.0.2", 0)
        )
        device = trusting(certificates).wrap_socket(plain, server_hostname="localhost")
        stack.enter_context(device)
        device.sendall(encode_imei(IMEI))
        assert device.recv(1) == b"\x01"
    server.stop()
    (line,) = server.logged("handshakes_wait")
    assert line["limit"] == "--max-handshakes"
    assert server.logged("stopped")[0]["waited_for_max_handshakes"] == 18


def test_mutual_tls_takes_devices_of_its_ca_only(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*mutual(certificates))
    ours, foreign = trusting(certificates), trusting(certificates)
    ours.load_cert_chain(certificates.client_cert, certificates.client_key)
    foreign.load_cert_chain(certificates.foreign_client_cert, certificates.foreign_client_key)
    with TlsDevice(server.port, ours) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    for context in (foreign, trusting(certificates)):
        with pytest.raises((ssl.SSLError, AssertionError, OSError)):
            TlsDevice(server.port, context)
    assert server.stop() == 0  # all is in the log
    errors = " ".join(line["error"] for line in server.logged("tls_failed"))
    assert "certificate verify failed" in errors
    assert "peer did not return a certificate" in errors


def test_sighup_reloads_the_certificate_and_drops_nobody(
    own: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(own))
    with TlsDevice(server.port, trusting(own)) as before:
        own.renew_server()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("certificates_reloaded")
        with TlsDevice(server.port, trusting(own), OTHER) as after:
            assert after.certificate != before.certificate
            for device in (before, after):
                device.send(packet(1))
                assert device.acknowledged() == 1


def test_a_broken_file_at_a_reload_leaves_the_old_certificate(
    own: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(own))
    own.server_cert.write_text("half a certificate")
    server.process.send_signal(signal.SIGHUP)
    (line,) = told(server, "certificates_not_reloaded")
    assert str(own.server_cert) in line["error"]
    with TlsDevice(server.port, trusting(own)) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    assert "Traceback" not in server.log_text()


def test_a_drain_over_tls_acknowledges_what_was_read(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(certificates))
    with TlsDevice(server.port, trusting(certificates)) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
        assert server.stop() == 0
        assert device.closed_by_server()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tls-key", "{server_key}"), "--tls-cert"),
        (("--tls-client-ca", "{ca}"), "--tls-cert"),
        (("--tls-cert", "{ca}/nothing"), "cannot be read"),
        (("--tls-cert", "{server_cert}"), "no private key"),
        (("--tls-cert", "{server_cert}", "--tls-key", "{client_key}"), "does not belong"),
        (
            (
                *("--tls-cert", "{server_cert}", "--tls-key", "{server_key}"),
                *("--tls-client-ca", "{server_key}"),
            ),
            "no certificate",
        ),
    ],
)
def test_wrong_files_are_wrong_usage(
    options: tuple[str, ...], said: str, certificates: Certificates, tmp_path: Path
) -> None:
    filled = [option.format(**vars(certificates)) for option in options]
    result = run_teltonika("serve", "--port", "0", "--data-dir", str(tmp_path), *filled)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_the_emulated_device_and_the_server_speak_it_with_each_other(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*mutual(certificates))
    result = run_teltonika(
        *("emulate", "--imei", IMEI, "--port", str(server.port), "--json"),
        *("--records", "500", "--records-per-packet", "20", "--interval", "0"),
        *("--tls-ca", str(certificates.ca), "--tls-cert", str(certificates.client_cert)),
        *("--tls-key", str(certificates.client_key)),
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["records_acknowledged"] == 500
    assert server.redis.xlen(STREAM) == 500


@contextmanager
def half_closed(device: TlsDevice) -> Iterator[None]:
    device.socket.shutdown(socket.SHUT_WR)
    yield


def test_what_came_before_the_end_of_a_tls_connection_is_stored(
    certificates: Certificates, start_server: StartServer
) -> None:
    server = start_server(*tls(certificates))
    with TlsDevice(server.port, trusting(certificates)) as device:
        device.send(packet(1))
        with half_closed(device):
            server.wait_for_log("device_disconnected")
    with TlsDevice(server.port, trusting(certificates)) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    assert server.redis.xlen(STREAM) == 1
    assert "WARNING" not in server.log_text()
