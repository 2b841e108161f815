"""Codec 16 (``10``): ids of two bytes, counts of one, and why each record was made.

Source: Teltonika Data Sending Protocols, "Codec 16".
"""

from teltonika.codecs.avl import AvlCodec

CODEC16 = AvlCodec(0x10, "16", id_width=2, count_width=1, generation_type=True)
