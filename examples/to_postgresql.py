"""Records from the telemetry stream into a table of PostgreSQL, each once.

    pip install 'psycopg[binary]'
    python examples/to_postgresql.py --redis redis://localhost --postgresql postgresql:///fleet

A batch is copied into a temporary table, from there into the table proper, and acknowledged only
when PostgreSQL has committed it. Killed in between, it is delivered again, and what the table has
already is passed over: by the primary key.

The key is device, time and a digest of the record. Device and time alone are no key: a device that
meets two events within one second can send two records of the same time. The entry's id would be
one, but not of the record: where Redis has lost its last second in a failover, and the server
stores a record that the device sends again, the same record has a second id.

Any error ends this program, and so does a signal, at any moment: nothing is lost by it. Let systemd
or Kubernetes start it again under the same --consumer. After --claim-idle seconds another one takes
over what it has left.
"""

import argparse
import asyncio
import hashlib
from collections.abc import Iterable

import psycopg

from teltonika.consumer import Record, TelemetryConsumer

TABLES = """
CREATE TABLE IF NOT EXISTS telemetry (
    imei text NOT NULL,
    ts timestamptz NOT NULL,
    digest bytea NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    speed integer NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (imei, ts, digest)
);
CREATE TEMPORARY TABLE arrived (LIKE telemetry) ON COMMIT DELETE ROWS;
"""
COPY = "COPY arrived (imei, ts, digest, latitude, longitude, speed, payload) FROM STDIN"
KEEP = "INSERT INTO telemetry SELECT * FROM arrived ON CONFLICT DO NOTHING"


async def store(database: psycopg.AsyncConnection, records: Iterable[Record]) -> None:
    """All of them, or none."""
    async with database.transaction(), database.cursor() as cursor:
        async with cursor.copy(COPY) as copy:
            for record in records:
                await copy.write_row(
                    (
                        record.imei,
                        record.time
                        or "infinity",  # of a broken clock; the payload has what it says
                        hashlib.blake2b(record.payload, digest_size=16).digest(),
                        record.latitude,
                        record.longitude,
                        record.speed,
                        record.payload.decode(),
                    )
                )
        await cursor.execute(KEEP)


async def main(options: argparse.Namespace) -> None:
    database = await psycopg.AsyncConnection.connect(options.postgresql, autocommit=True)
    consumer = TelemetryConsumer(
        options.redis,
        group=options.group,
        consumer=options.consumer,
        claim_idle_s=options.claim_idle,
    )
    async with database:
        await database.execute(TABLES)
        async with consumer:
            async for batch in consumer:
                await store(database, batch.records)
                await batch.ack()  # only now: PostgreSQL has committed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The telemetry stream into PostgreSQL.")
    parser.add_argument("--redis", default="redis://localhost:6379/0")
    parser.add_argument("--postgresql", default="", help="libpq's, or the PG* variables")
    parser.add_argument("--group", default="postgresql")
    parser.add_argument("--consumer", default="1", help="unique among those that run")
    parser.add_argument("--claim-idle", type=float, default=60.0, metavar="SECONDS")
    asyncio.run(main(parser.parse_args()))
