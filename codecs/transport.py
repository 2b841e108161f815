"""What carries packets, and between whom."""

from enum import StrEnum


class Transport(StrEnum):
    """How a device and its server speak to each other."""

    TCP = "tcp"
    UDP = "udp"


class Side(StrEnum):
    """An end of a session."""

    DEVICE = "device"
    SERVER = "server"
