"""Codec 13 (``0D``): text with a timestamp that a device sends unasked.

Source: Teltonika Data Sending Protocols, "Codec 13".
"""

from teltonika.codecs.commands import CommandCodec, MessageType

CODEC13 = CommandCodec(0x0D, "13", types=(MessageType.RESPONSE,), timestamp=True)
