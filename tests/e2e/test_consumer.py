"""From devices through a server and its shards to a consumer."""

from collections.abc import Callable

from serving import ServerProcess, run_teltonika

from teltonika.consumer import TelemetryConsumer

StartServer = Callable[..., ServerProcess]


async def test_what_devices_send_to_a_server_with_shards_comes_once_and_in_order(
    start_server: StartServer,
) -> None:
    server = start_server("--stream-shards", "4")
    fleet = ("--count", "20", "--records", "50", "--interval", "0", "--port", str(server.port))
    assert run_teltonika("emulate", "--host", "127.0.0.1", *fleet).returncode == 0
    found: dict[str, list[str]] = {}
    streams = set()
    async with TelemetryConsumer(server.listening["redis"], group="test", consumer="a") as consumer:
        while sum(map(len, found.values())) < 20 * 50:
            batch = await anext(consumer)
            streams.add(batch.stream)
            for record in batch.records:
                found.setdefault(record.imei, []).append(record.timestamp)
            await batch.ack()
    assert len(found) == 20
    for timestamps in found.values():
        assert len(timestamps) == 50
        assert timestamps == sorted(timestamps)
    assert len(streams) > 1
    data = ("--data-dir", str(server.data_dir))
    assert run_teltonika("lag", *data, "--group", "test", "--max-lag", "0").returncode == 0
