"""How `teltonika emulate` is told what model the devices are."""

from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.codecs import AVL_CODECS, AvlCodec
from teltonika.emulator import EmulatorSettings
from teltonika.emulator.profiles import (
    Paces,
    Profile,
    ProfileError,
    built_in_profiles,
    read_profile,
)

ProfileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="What model the device is: its IO elements, codec, periods, time-outs, its answer to "
        f"getver. One of {', '.join(built_in_profiles())}, or a TOML file of your own.",
        show_default="as an FMB120",
    ),
]

RoamingOption: TypeAlias = Annotated[
    bool,
    typer.Option(help="The devices are abroad: with the periods that their profile has for that."),
]


def paces_from(profile: Profile | None, interval: float | None, *, roaming: bool) -> Paces | None:
    """The periods of the profile, unless --interval is given."""
    paces = profile.paces if profile else None
    if roaming and (paces is None or interval is not None):
        fail("--roaming: it takes a --profile with periods, and no --interval", USAGE)
    return None if interval is not None else paces


def profile_from(name: str | None) -> Profile | None:
    """Ends the command with a sentence where it is none."""
    try:
        return None if name is None else read_profile(name)
    except ProfileError as error:
        fail(f"--profile: {error}", USAGE)


def records_per_packet_from(number: int | None, profile: Profile | None) -> int:
    """That of --records-per-packet, or of the profile, or the default."""
    if profile is None:
        return number or EmulatorSettings().records_per_packet
    if number is not None and number > profile.records_that_fit:
        most = profile.records_that_fit
        fail(f"--records-per-packet: at most {most} of {profile.name} fit a packet", USAGE)
    return number or profile.records_per_packet


def codec_from(name: str | None, profile: Profile | None) -> AvlCodec:
    """That of --codec, or the one that the profile is set to."""
    if name is None:
        return profile.codecs[0] if profile else EmulatorSettings().codec
    try:
        codec = AVL_CODECS.by_name(name)
    except ValueError as error:
        fail(f"--codec: {error}", USAGE)
    if profile is not None and codec not in profile.codecs:
        spoken = ", ".join(one.name for one in profile.codecs)
        fail(f"--codec: {profile.name} speaks {spoken}, not {codec.name}", USAGE)
    return codec
