"""Codec 12 (``0C``): commands and answers as bare text.

Source: Teltonika Data Sending Protocols, "Codec 12".
"""

from teltonika.codecs.commands import CommandCodec, MessageType

CODEC12 = CommandCodec(0x0C, "12", types=(MessageType.COMMAND, MessageType.RESPONSE))
