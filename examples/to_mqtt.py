"""Records from the telemetry stream to an MQTT broker, each at least once.

    pip install aiomqtt
    python examples/to_mqtt.py --redis redis://localhost --broker localhost

Each record is published to teltonika/{imei}/telemetry with QoS 1, as the JSON that stands on the
stream, with the MQTT 5 user property `entry-id`: whoever must not see a record twice remembers the
last one of each device. A batch is acknowledged only when the broker has confirmed all of it
(PUBACK).

Any error ends this program, and so does a signal, at any moment: nothing is lost by it. Let systemd
or Kubernetes start it again under the same --consumer. After --claim-idle seconds another one takes
over what it has left.
"""

import argparse
import asyncio

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from teltonika.consumer import Batch, Record, TelemetryConsumer


async def publish(broker: aiomqtt.Client, record: Record) -> None:
    """Returns once the broker has confirmed it."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("entry-id", record.entry_id)]
    topic = f"teltonika/{record.imei}/telemetry"
    await broker.publish(topic, record.payload, qos=1, properties=properties)


async def publish_all(broker: aiomqtt.Client, batch: Batch) -> None:
    """All on their way at once, and in order: tasks begin in the order they are made in."""
    async with asyncio.TaskGroup() as group:
        for record in batch.records:
            group.create_task(publish(broker, record))


async def main(options: argparse.Namespace) -> None:
    protocol = aiomqtt.ProtocolVersion.V5
    consumer = TelemetryConsumer(
        options.redis,
        group=options.group,
        consumer=options.consumer,
        claim_idle_s=options.claim_idle,
    )
    async with aiomqtt.Client(options.broker, options.port, protocol=protocol) as broker, consumer:
        async for batch in consumer:
            await publish_all(broker, batch)
            await batch.ack()  # only now: the broker has all of it


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The telemetry stream to an MQTT broker.")
    parser.add_argument("--redis", default="redis://localhost:6379/0")
    parser.add_argument("--broker", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--group", default="mqtt")
    parser.add_argument("--consumer", default="1", help="unique among those that run")
    parser.add_argument("--claim-idle", type=float, default=60.0, metavar="SECONDS")
    asyncio.run(main(parser.parse_args()))
