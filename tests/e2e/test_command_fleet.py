"""Fifty devices with twenty commands each, while they send records as fast as they can."""

import asyncio
from random import Random

from serving import REGISTRY, RESPONSES, STREAM, ServerProcess, wait_for_statuses

from teltonika.codecs import luhn_check_digit
from teltonika.emulator import DeviceLink, EmulatorSettings, assemble_device

DEVICES = 50
COMMANDS = 20


def imei(number: int) -> str:
    digits = f"35630704244{number:03d}"
    return f"{digits}{luhn_check_digit(digits)}"


async def test_every_command_gets_its_own_answer(server: ServerProcess) -> None:
    settings = EmulatorSettings(
        port=server.port, records=0, records_per_packet=5, interval_s=0.0, start_ms=0
    )
    links = [
        DeviceLink(assemble_device(imei(number), settings, 0), settings, Random(number))
        for number in range(DEVICES)
    ]
    async with asyncio.TaskGroup() as group:
        for link in links:
            group.create_task(link.run())
        responses = await asyncio.to_thread(command_all, server)
        for link in links:
            link.stop()

    assert len(responses) == DEVICES * COMMANDS
    for command_id, response in responses.items():
        device, number = command_id.split("/")
        assert response == f"Param ID:{2100 + int(number)} New Val:{device}"
    for link in links:
        report = link.device.report
        assert report.commands_executed == len(report.commands) == COMMANDS
        assert report.wrong_acks == report.ack_timeouts == report.packets_resent == 0
        assert report.records_acknowledged == report.records_sent > COMMANDS
    sent = sum(link.device.report.records_acknowledged for link in links)
    assert server.redis.xlen(STREAM) == sent


def command_all(server: ServerProcess) -> dict[str, str]:
    """Command id to answer, of `setparam` with a value that only that device is told."""
    wait_for_all(server)
    ids = []
    for number in range(COMMANDS):
        for device in range(DEVICES):
            command_id = f"{device}/{number}"
            payload = f"setparam {2100 + number}:{device}"
            server.publish(command_id, payload, imei=imei(device))
            ids.append(command_id)
    statuses = wait_for_statuses(server.redis, *ids)
    delivered = [s["command_id"] for s in statuses if s["status"] == "delivered"]
    assert sorted(delivered) == sorted(ids)
    assert server.redis.xlen(RESPONSES) == 2 * len(ids)
    return {s["command_id"]: s["response"] for s in statuses if s["status"] == "responded"}


def wait_for_all(server: ServerProcess) -> None:
    server.redis.config_set("notify-keyspace-events", "Kh")
    with server.redis.pubsub() as changes:
        changes.subscribe(f"__keyspace@0__:{REGISTRY}")
        while server.redis.hlen(REGISTRY) < DEVICES:
            assert changes.get_message(timeout=30) is not None
