"""A consumer as a process: prints each record that it has, acknowledges, and goes on.

`python consuming.py URL CONSUMER`; each line is the IMEI, the record's number and its deliveries.
It acknowledges a batch when it has read a line of its standard input.
"""

import asyncio
import sys

from telemetry_writing import number_of

from teltonika.consumer import TelemetryConsumer


async def consume(url: str, name: str) -> None:
    async with TelemetryConsumer(
        url, group="test", consumer=name, max_records=10, claim_idle_s=0.5
    ) as consumer:
        async for batch in consumer:
            for record in batch.records:
                print(record.imei, number_of(record.timestamp), record.deliveries)
            print("end", flush=True)
            if not await asyncio.to_thread(sys.stdin.readline):
                return
            await batch.ack()


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2]))
