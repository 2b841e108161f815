"""The fixtures in somebody else's test suite, which knows only that teltonika is installed."""

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.asyncio
async def test_right(teltonika_device, teltonika_fleet, teltonika_server):
    async with teltonika_device(port=teltonika_server.port) as device:
        await device.send(3)
        assert "Ver:" in await teltonika_server.ask(device.imei, "getver")
        assert await device.next_command() == "getver"
    async with teltonika_fleet(5, imei="350000000000003", port=teltonika_server.port) as fleet:
        await fleet.send(2)
    assert len(teltonika_server.records(device.imei)) == 3
    assert len(teltonika_server.records()) == 13
    assert teltonika_server.udp_port

@pytest.mark.asyncio
async def test_wrong(teltonika_device):
    async with teltonika_device(port=1):
        pass

def test_no_start(teltonika_server, tmp_path):
    from teltonika.emulator.server_process import running_server
    with running_server(tmp_path, "--port", "70000"):
        pass
"""


def test_they_work_and_say_what_is_wrong(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*NotConnectedError: 356307042441013 at 127.0.0.1:1: connection refused*",
            "*RuntimeError: the server did not start*",
        ]
    )
