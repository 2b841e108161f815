"""What carries packets."""

from enum import StrEnum


class Transport(StrEnum):
    """How a device and its server speak to each other."""

    TCP = "tcp"
    UDP = "udp"
