"""Codec 8 (``08``): ids and counts of one byte (Teltonika Data Sending Protocols, "Codec 8")."""

from teltonika.codecs.avl import AvlCodec

CODEC8 = AvlCodec(0x08, "8", id_width=1, count_width=1)
