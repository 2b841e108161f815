"""`teltonika emulate --profile` against the real server."""

from base64 import b64encode
from pathlib import Path

from serving import ServerProcess, run_teltonika

from teltonika.emulator.profiles import read_profile


def test_the_stream_has_the_elements_of_the_profile(server: ServerProcess) -> None:
    result = run_teltonika(
        *("emulate", "--imei", "356307042441013", "--port", str(server.port)),
        *("--profile", "tat100", "--records", "10", "--interval", "0", "--json"),
    )
    assert result.returncode == 0, result.stderr
    assert '"packets_sent":2,' in result.stdout
    wanted = {str(element.io_id) for element in read_profile("tat100").elements}
    payloads = server.payloads()
    assert len(payloads) == 10
    assert all(wanted <= payload["attributes"].keys() for payload in payloads)
    assert not any("239" in payload["attributes"] for payload in payloads)


def test_mistakes_get_a_sentence(tmp_path: Path) -> None:
    device = ("emulate", "--imei", "356307042441013", "--profile")
    result = run_teltonika(*device, "fmb9")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--profile: 'fmb9' is none of fmb120, fmb640" in result.stderr
    result = run_teltonika(*device, "tat100", "--codec", "8")
    assert result.returncode == 2
    assert "--codec: tat100 speaks 8E, not 8" in result.stderr
    (tmp_path / "vin.toml").write_text(
        'model = "FMB120"\ncodecs = ["8E"]\ngetver = "x"\nelements = ["VIN"]\n'
        f'values.VIN = "{"a" * 1_000}"\nwidths.VIN = "variable"\n'
    )
    result = run_teltonika(*device, str(tmp_path / "vin.toml"), "--records-per-packet", "255")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--records-per-packet: at most 62 of vin fit a packet" in result.stderr


def test_values_of_variable_width_reach_the_stream(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "vin.toml").write_text(
        'model = "FMB120"\ncodecs = ["8E"]\ngetver = "x"\nelements = ["VIN", "Speed"]\n'
        'values.VIN = "WVWZZZ1JZXW000001"\nwidths = { vin = "variable", 24 = 8 }\n'
    )
    result = run_teltonika(
        *("emulate", "--imei", "356307042441013", "--port", str(server.port)),
        *("--profile", str(tmp_path / "vin.toml"), "--records", "3", "--interval", "0"),
    )
    assert result.returncode == 0, result.stderr
    found = [payload["attributes"]["256"] for payload in server.payloads()]
    assert found == [{"__buffer_b64": b64encode(b"WVWZZZ1JZXW000001").decode()}] * 3
