"""What carries a device's packets."""

from enum import Enum


class Transport(Enum):
    """How a device speaks to its server."""

    TCP = "tcp"
    UDP = "udp"
