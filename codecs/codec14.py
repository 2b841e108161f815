"""Codec 14 (``0E``): commands that name the device they are for, and its nACK if it is another.

Source: Teltonika Data Sending Protocols, "Codec 14".
"""

from teltonika.codecs.commands import CommandCodec, MessageType

_TYPES = (MessageType.COMMAND, MessageType.RESPONSE, MessageType.NACK)

CODEC14 = CommandCodec(0x0E, "14", types=_TYPES, imei=True)
