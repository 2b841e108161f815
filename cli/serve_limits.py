"""What `serve` allows peers, and all of them together; with workers that is split."""

from typing import Annotated, TypeAlias

import typer

from teltonika.cli.numbers import a_number, a_size

LIMITS = "Limits"

MaxConnectionsOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Open connections; one more is closed at once. 0: as many as the system's limit "
        "for open files allows. Split over the --workers.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
MaxPerAddressOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Of these from one address; 0 is no limit, and --workers share it. Mobile operators "
        "put whole fleets behind one.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
MaxHandshakesOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Handshakes under way before a session, TLS or a balancer's header; further ones "
        "wait, and one address has a quarter at most. 0 is no limit, and --workers share it.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
HandshakeTimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(
        callback=a_number,
        metavar="SECONDS",
        help="Seconds a device has to say its IMEI; before that as many for TLS.",
        min=0.1,
        rich_help_panel=LIMITS,
    ),
]
IdleTimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(
        callback=a_number,
        metavar="SECONDS",
        help="Seconds of silence before a connection is closed.",
        min=1,
        rich_help_panel=LIMITS,
    ),
]
MaxPacketSizeOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="BYTES",
        help="Largest packet that is taken, in bytes.",
        min=45,
        rich_help_panel=LIMITS,
    ),
]
MaxUnconfirmedBytesOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="BYTES",
        help="Memory for records that were read and that Redis has not confirmed; past it "
        "devices wait. Split over the --workers.",
        min=65_536,
        rich_help_panel=LIMITS,
    ),
]
MaxDeviceBytesOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="BYTES",
        help="The same for each device.",
        min=4_096,
        rich_help_panel=LIMITS,
    ),
]
StreamMaxBytesOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=a_size,
        help="Memory for all streams that devices fill, in bytes or such as 512MiB; their oldest "
        "entries go beyond it. 0 is no limit.",
        show_default="a quarter of the memory that may be used; with --redis no limit",
        rich_help_panel=LIMITS,
    ),
]
MinFreeDiskOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=a_size,
        help="With less free on the disk of the embedded Valkey nothing is stored or acknowledged.",
        show_default="512MiB, or 5 % of the disk if that is less",
        rich_help_panel=LIMITS,
    ),
]
MaxDeviceRateOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="BYTES",
        help="Bytes a second that a device may send, and 16 times as many at once; past it the "
        "device is read more slowly. 0 is no limit.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
MaxEmptyFramesOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Pings, wrong CRCs, packets of no records and the like that a connection may bring in "
        "a minute; past it the connection is closed. 0 is no limit.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
LogLinesPerPeerOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Log lines that each address, and all failing commands together, may cause in a "
        "minute; how many more there were is reported in one line. 0 is no limit, and --workers "
        "share it.",
        min=0,
        rich_help_panel=LIMITS,
    ),
]
