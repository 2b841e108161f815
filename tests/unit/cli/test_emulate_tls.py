"""`teltonika emulate --tls`: its options, what it says, how it ends."""

import asyncio
import ssl
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
import typer
from certificates import Certificates
from tiny_server import TinyServer
from typer.testing import CliRunner

from teltonika.cli.emulate import emulate
from teltonika.cli.emulate_tls import tls_settings
from teltonika.cli.emulate_view import LiveView

IMEI = "356307042441013"
COMMAND = "import typer; from teltonika.cli.emulate import emulate; typer.run(emulate)"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    return context


async def run(port: int, *arguments: str | Path) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "--imei", IMEI, "--port", str(port), *arguments),
        *("--records", "2", "--interval", "0"),
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "--tls-key {0}/client.key",
            "--tls-key needs --tls-cert, the certificate that the key belongs to",
        ),
        (
            "--tls --tls-insecure --tls-ca {0}/ca.pem",
            "--tls-ca and --tls-insecure contradict each other: name one of them",
        ),
        (
            "--tls --tls-ca {0}/none.pem",
            "the CA file {0}/none.pem cannot be read: no such file or directory",
        ),
        (
            "--tls --tls-ca {0}/client.key",
            "the CA file {0}/client.key holds no certificate in PEM form",
        ),
        (
            "--tls-cert {0}/client.pem",
            "the key file {0}/client.pem holds no private key in PEM form",
        ),
        (
            "--tls-cert {0}/client.pem --tls-key {0}/server.key",
            (
                "the private key in {0}/server.key does not belong to the certificate in "
                "{0}/client.pem"
            ),
        ),
        (
            "--tls --tls-server-name a..b",
            "'a..b' is no name that a server's certificate can be for",
        ),
    ],
)
def test_what_tls_cannot_be_spoken_with_gets_one_sentence_and_exit_code_2(
    options: str, sentence: str, certificates: Certificates
) -> None:
    app = typer.Typer()
    app.command()(emulate)
    directory = certificates.ca.parent
    result = CliRunner().invoke(app, ["--imei", IMEI, *options.format(directory).split()])
    assert result.exit_code == 2
    assert result.stderr == f"teltonika: {sentence.format(directory)}\n"
    assert result.stdout == ""


def test_each_option_implies_tls_and_none_is_plain_tcp(certificates: Certificates) -> None:
    nothing = dict.fromkeys(("ca", "cert", "key", "server_name")) | {
        "tls": False,
        "insecure": False,
    }
    assert tls_settings(**nothing) is None
    pair = {"cert": certificates.client_cert, "key": certificates.client_key}
    for told in (
        *({"tls": True}, {"insecure": True}, {"ca": certificates.ca}),
        *({"server_name": "tracker.example"}, pair),
    ):
        assert tls_settings(**nothing | told) is not None, told


async def test_it_says_that_it_speaks_tls(certificates: Certificates) -> None:
    async with TinyServer(ssl=server_context(certificates)) as server:
        code, _, errors = await run(server.port, "--tls", "--tls-ca", certificates.ca)
    assert code == 0
    assert errors == f"{IMEI}: connected to 127.0.0.1:{server.port} over TLS\n"


async def test_insecure_says_so_once(certificates: Certificates) -> None:
    async with TinyServer(ssl=server_context(certificates)) as server:
        code, _, errors = await run(server.port, "--tls-insecure", "--tls-server-name", "x.example")
    assert code == 0
    assert errors == (
        "the server's certificate is not verified\n"
        f"{IMEI}: connected to 127.0.0.1:{server.port} over TLS\n"
    )


async def test_a_server_not_trusted_is_a_reason_and_then_exit_code_1(
    certificates: Certificates,
) -> None:
    async with TinyServer(ssl=server_context(certificates)) as server:
        code, output, errors = await run(server.port, "--tls", "--give-up-after", "0.4")
    assert code == 1
    assert "sent" in output
    *troubles, gave_up = errors.splitlines()
    assert troubles
    for line in troubles:
        assert line.startswith(
            f"{IMEI}: 127.0.0.1:{server.port} over TLS: the server's certificate is not trusted: "
        )
        assert "; trying again in " in line
    assert gave_up == "teltonika: gave up: nothing was acknowledged for 0.4 s"


def test_the_live_line_leaves_standing_that_nothing_is_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with LiveView("localhost:5027 over TLS") as view:
        view.unverified()
    assert "the server's certificate is not verified\n" in capsys.readouterr().err
