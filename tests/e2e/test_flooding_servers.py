"""The tools of the device's side against servers that send without end: real processes and TCP."""

import json
from pathlib import Path

import pytest
from flooding_server import DatagramFlood, Ended, Flood, flooding_server, run_to_its_end

PCAPS = Path(__file__).parents[2] / "fixtures" / "pcaps"
GIVE_UP_S = 2.0
SLACK_S = 50.0
"""For a busy machine. Without a limit the tools here never end."""
MOST_MIB = 90.0
"""Half of it is the interpreter and what it imports. Without limits it is hundreds."""
MOST_SAID = 65_536
"""Characters on standard error. Without limits it is millions a second."""


def each(*floods: Flood | DatagramFlood) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("flood", floods, ids=lambda flood: flood.name)


def check_bounds(ended: Ended) -> None:
    assert ended.exit_code in (0, 1), (ended.exit_code, ended.complaints[-2_000:])
    assert "Traceback" not in ended.complaints
    assert len(ended.complaints) < MOST_SAID
    assert ended.peak_mib < MOST_MIB


@each(Flood.COMMANDS, Flood.WRONG_CRC)
def test_emulate_gives_up_in_time_whatever_the_server_sends(flood: Flood, tmp_path: Path) -> None:
    with flooding_server(flood) as server:
        ended = run_to_its_end(
            tmp_path,
            *("emulate", "--port", str(server.port), "--give-up-after", f"{GIVE_UP_S:g}"),
            *("--records", "3", "--interval", "0.2", "--json"),
            timeout_s=GIVE_UP_S + SLACK_S,
        )
    check_bounds(ended)
    report = json.loads(ended.output)
    assert report["gave_up"]
    assert report["records_acknowledged"] == 0


@each(DatagramFlood.WRONG_ANSWERS, DatagramFlood.LARGE)
def test_emulate_gives_up_over_udp_whatever_the_server_sends(
    flood: DatagramFlood, tmp_path: Path
) -> None:
    with flooding_server(datagrams=flood) as server:
        ended = run_to_its_end(
            tmp_path,
            *("emulate", "--transport", "udp", "--port", str(server.udp_port), "--json"),
            *("--records", "3", "--give-up-after", f"{GIVE_UP_S:g}"),
            timeout_s=GIVE_UP_S + SLACK_S,
        )
    check_bounds(ended)
    assert json.loads(ended.output)["gave_up"]


def test_a_fleet_gives_up_in_time_whatever_the_server_sends(tmp_path: Path) -> None:
    """Each device has another kind of flood; only right ACKs help one."""
    with flooding_server(None) as server:
        ended = run_to_its_end(
            tmp_path,
            *("emulate", "--port", str(server.port), "--give-up-after", f"{GIVE_UP_S:g}"),
            *("--records", "3", "--interval", "0.2", "--count", str(len(Flood)), "--json"),
            timeout_s=GIVE_UP_S + SLACK_S,
        )
    check_bounds(ended)
    report = json.loads(ended.output)
    assert report["gave_up"] == len(Flood) - 1
    assert report["records_acknowledged"] == 3


@each(Flood.RIGHT_ACKS, Flood.COMMANDS)
def test_conform_ends_in_time_whatever_the_server_sends(flood: Flood, tmp_path: Path) -> None:
    cases = [option for name in ("handshake", "commands", "udp") for option in ("--case", name)]
    with flooding_server(flood) as server:
        ended = run_to_its_end(
            tmp_path,
            *("conform", f"127.0.0.1:{server.port}", "--timeout", "1"),
            *("--udp-port", str(server.udp_port), "--junit", str(tmp_path / "junit.xml")),
            *cases,
            timeout_s=60 + SLACK_S,
        )
    check_bounds(ended)
    assert ended.exit_code == 1
    assert (tmp_path / "junit.xml").stat().st_size < 4_000_000


@each(Flood.WRONG_ACKS, Flood.LONG_FRAMES)
def test_replay_ends_in_time_whatever_the_server_sends(flood: Flood, tmp_path: Path) -> None:
    with flooding_server(flood) as server:
        ended = run_to_its_end(
            tmp_path,
            *("replay", str(PCAPS / "codec8-session.pcap"), "--port", str(server.port)),
            *("--timeout", "1", "--json"),
            timeout_s=10 + SLACK_S,
        )
    check_bounds(ended)
    session = json.loads(ended.output.splitlines()[0])
    assert not session["ok"]
    assert len(session["differences"]) <= 1_100
    assert len(ended.output) < 4_000_000


@each(DatagramFlood.LATE_ANSWERS, DatagramFlood.EMPTY)
def test_replay_ends_in_time_over_udp(flood: DatagramFlood, tmp_path: Path) -> None:
    with flooding_server(datagrams=flood) as server:
        ended = run_to_its_end(
            tmp_path,
            *("replay", str(PCAPS / "udp-codec16.pcap"), "--udp-port", str(server.udp_port)),
            *("--timeout", "1", "--json"),
            timeout_s=10 + SLACK_S,
        )
    check_bounds(ended)
    assert not json.loads(ended.output.splitlines()[0])["ok"]
    assert len(ended.output) < 4_000_000
