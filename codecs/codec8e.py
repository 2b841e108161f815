"""Codec 8 Extended (``8E``): ids and counts of two bytes, and values of variable length.

Source: Teltonika Data Sending Protocols, "Codec 8 Extended".
"""

from teltonika.codecs.avl import AvlCodec

CODEC8_EXTENDED = AvlCodec(0x8E, "8E", id_width=2, count_width=2, variable_length=True)
