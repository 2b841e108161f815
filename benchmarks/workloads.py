"""The four workloads that every figure is made of, seeded: the same bytes at every run.

W1 codec 8, 15 records a packet, 12 IO elements each; W2 codec 8 Extended, 8 records, 20 IO
elements of which one has a variable length; W3 codec 16, 10 records, 8 IO elements; W4 codec 8
Extended, 1 record, 19 IO elements.
"""

import random
from dataclasses import dataclass

from teltonika.codecs import AVL_CODECS, AvlCodec, AvlRecord, IoElement, IoElements, encode_packet

VARIABLE_SIZE = 24
"""Bytes of a variable-length value."""


@dataclass(frozen=True)
class Workload:
    name: str
    codec: AvlCodec
    records_per_packet: int
    widths: tuple[int, ...]
    variable_elements: int = 0

    def records(self, rng: random.Random, start_ms: int) -> list[AvlRecord]:
        """The records of one packet, one second apart."""
        first_id = 1
        elements = []
        for place, width in enumerate(self.widths):
            elements.append((first_id + place, width))
        return [
            AvlRecord(
                timestamp_ms=start_ms + 1000 * number,
                priority=0,
                longitude_e7=rng.randrange(240_000_000, 260_000_000),
                latitude_e7=rng.randrange(540_000_000, 560_000_000),
                altitude=rng.randrange(0, 300),
                angle=rng.randrange(0, 360),
                satellites=rng.randrange(4, 20),
                speed=rng.randrange(0, 130),
                event_io_id=0,
                generation_type=5 if self.codec.name == "16" else None,
                io=IoElements.of(
                    [
                        *(IoElement(i, rng.randrange(256**width), width) for i, width in elements),
                        *(
                            IoElement.variable(385 + i, rng.randbytes(VARIABLE_SIZE))
                            for i in range(self.variable_elements)
                        ),
                    ]
                ),
            )
            for number in range(self.records_per_packet)
        ]

    def packets(self, count: int, seed: int) -> list[bytes]:
        """``count`` whole TCP packets."""
        rng = random.Random(f"{self.name}-{seed}")
        step_ms = 1000 * self.records_per_packet
        start_ms = 1_760_000_000_000
        return [
            encode_packet(self.codec, self.records(rng, start_ms + number * step_ms))
            for number in range(count)
        ]


WORKLOADS = (
    Workload("W1", AVL_CODECS.by_name("8"), 15, (1,) * 5 + (2,) * 4 + (4,) * 2 + (8,)),
    Workload("W2", AVL_CODECS.by_name("8E"), 8, (1,) * 8 + (2,) * 6 + (4,) * 4 + (8,), 1),
    Workload("W3", AVL_CODECS.by_name("16"), 10, (1,) * 4 + (2,) * 3 + (4,)),
    Workload("W4", AVL_CODECS.by_name("8E"), 1, (1,) * 8 + (2,) * 6 + (4,) * 4 + (8,)),
)
