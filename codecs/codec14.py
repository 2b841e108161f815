"""Codec 14 (``0E``): commands that name the device they are for, and its nACK if it is another.

Source: Teltonika Data Sending Protocols, "Codec 14".
"""

from teltonika.codecs.commands import CommandCodec, MessageType

CODEC14 = CommandCodec(0x0E, "14", types=tuple(MessageType), imei=True)
