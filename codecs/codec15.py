"""Codec 15 (``0F``): what came in on RS-232, with a timestamp and an IMEI, sent unasked.

Source: Teltonika Data Sending Protocols, "Codec 15".
"""

from teltonika.codecs.commands import CommandCodec, MessageType

CODEC15 = CommandCodec(0x0F, "15", types=(MessageType.SERIAL,), timestamp=True, imei=True)
