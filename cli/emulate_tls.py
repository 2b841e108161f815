"""How `teltonika emulate` is told of TLS: its options, and the settings they make."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.codecs import TlsError
from teltonika.emulator import TlsSettings

TlsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Speak TLS, 1.2 or later, and verify the server's certificate. Each other --tls "
        "option implies it.",
    ),
]
TlsCaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="PEM file of the CAs to trust.", show_default="those that the system trusts"),
]
TlsCertOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="PEM file of the device's own certificate.", show_default="none"),
]
TlsKeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of its private key, not encrypted.", show_default="in the --tls-cert file"
    ),
]
TlsServerNameOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="The name that the server's certificate must be for.", show_default="--host"),
]
TlsInsecureOption: TypeAlias = Annotated[
    bool, typer.Option("--tls-insecure", help="Take any certificate: for test servers.")
]


def tls_settings(
    *,
    tls: bool,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    server_name: str | None,
    insecure: bool,
) -> TlsSettings | None:
    """None for plain TCP; ends the command with a sentence where TLS cannot be spoken so."""
    if not (tls or insecure) and all(option is None for option in (ca, cert, key, server_name)):
        return None
    if key is not None and cert is None:
        fail("--tls-key needs --tls-cert, the certificate that the key belongs to", USAGE)
    if insecure and ca is not None:
        fail("--tls-ca and --tls-insecure contradict each other: name one of them", USAGE)
    try:
        return TlsSettings(
            ca_file=ca, cert_file=cert, key_file=key, server_name=server_name, insecure=insecure
        )
    except TlsError as error:
        fail(str(error), USAGE)
