"""How `teltonika emulate` is told what carries the packets, and what then cannot be."""

from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.emulator import AnswerFault, EmulatorSettings, Transport

TransportOption: TypeAlias = Annotated[
    Transport,
    typer.Option(
        help="What carries the packets. Over UDP each is one datagram, and goes again after "
        "--ack-timeout until it is answered."
    ),
]


def check_transport(settings: EmulatorSettings) -> None:
    """Ends the command with a sentence where the settings have what their transport has not."""
    try:
        settings.faults.check_transport(settings.transport)
    except ValueError as error:
        fail(f"--fault: {error}", USAGE)
    if settings.transport is Transport.TCP:
        return
    if settings.tls is not None:
        fail("--tls: TLS is for TCP: leave it out, or --transport udp", USAGE)
    if settings.answer_delay_s or settings.answer_fault is not AnswerFault.NONE:
        fail("--answer-delay, --answer-fault: over UDP no command comes to a device", USAGE)


def target_line(settings: EmulatorSettings) -> str:
    """Where the packets go, and how."""
    target = f"{settings.host}:{settings.port}"
    if settings.transport is Transport.UDP:
        return f"{target} over UDP"
    return target if settings.tls is None else f"{target} over TLS"
