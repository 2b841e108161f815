"""The allow-list: who is labelled, who is turned away, and when that changes."""

from collections.abc import Callable

from own_valkey import OwnValkey
from serving import IMEI, BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import encode_imei

StartServer = Callable[..., ServerProcess]
ALLOWED = "devices:allowed"
CHANGED = "devices:allowed:changed"
OTHER = "356307042441021"
LIST = ("--authority", "allow-list")


def answer_to(server: ServerProcess, imei: str) -> bytes:
    with BareDevice(server.port, imei=None) as device:
        device.send(encode_imei(imei))
        return device.receive(1)


def test_unknown_devices_are_labelled(valkey: OwnValkey, start_server: StartServer) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI)
    server = start_server(*LIST, redis_url=valkey.url)
    assert answer_to(server, IMEI) == answer_to(server, OTHER) == b"\x01"
    known = {line["imei"]: line["known"] for line in server.logged("device_connected", at_least=2)}
    assert known == {IMEI: True, OTHER: False}
    server.stop()
    assert server.logged("stopped")[0]["handshakes_accepted_unknown"] == 1
    client.close()


def test_strict_turns_them_away_from_the_first_connection_on(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI, *(f"{number:015d}" for number in range(30_000)))
    server = start_server(*LIST, "--strict", redis_url=valkey.url)
    assert answer_to(server, IMEI) == answer_to(server, f"{29_999:015d}") == b"\x01"
    assert answer_to(server, OTHER) == b"\x00"
    server.stop()
    reasons = {line["imei"]: line["reason"] for line in server.logged("device_disconnected")}
    assert reasons[OTHER] == "rejected: not on the allow-list"
    client.close()


def test_a_message_makes_a_change_count_at_once(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI)
    server = start_server(*LIST, "--strict", "--authority-refresh", "3600", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        with client.pipeline() as both:  # the server may look at any time
            both.srem(ALLOWED, IMEI)
            both.sadd(ALLOWED, OTHER)
            both.execute()
        while not client.publish(CHANGED, ""):  # how many heard it
            pass
        assert device.closed_by_server()
    assert answer_to(server, IMEI) == b"\x00"
    assert answer_to(server, OTHER) == b"\x01"
    client.close()


def test_without_a_message_it_counts_within_the_refresh_period(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI)
    server = start_server(*LIST, "--strict", "--authority-refresh", "0.2", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        client.srem(ALLOWED, IMEI)
        assert device.closed_by_server()
    client.close()


def test_while_redis_is_away_the_list_holds(valkey: OwnValkey, start_server: StartServer) -> None:
    """A device that is on it waits for Redis; one that is not is turned away at once."""
    client = valkey.start()
    client.sadd(ALLOWED, IMEI)
    server = start_server(*LIST, "--strict", "--authority-refresh", "0.1", redis_url=valkey.url)
    valkey.kill()
    server.wait_for_log("allow_list_not_read")
    with BareDevice(server.port, imei=None) as device:
        device.send(encode_imei(IMEI))
        assert device.silent_for(0.5)
        assert answer_to(server, OTHER) == b"\x00"
        client = valkey.start()
        assert device.receive(1) == b"\x01"
    client.sadd(ALLOWED, OTHER)
    while answer_to(server, OTHER) != b"\x01":
        pass
    client.close()


def test_strict_without_a_list_is_wrong_usage() -> None:
    result = run_teltonika("serve", "--strict")
    assert result.returncode == 2
    assert "--authority allow-list" in result.stderr
