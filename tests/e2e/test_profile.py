"""`teltonika emulate --profile` against the real server."""

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


def test_mistakes_get_a_sentence() -> None:
    device = ("emulate", "--imei", "356307042441013", "--profile")
    result = run_teltonika(*device, "fmb9")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--profile: 'fmb9' is none of fmb120, fmb640" in result.stderr
    result = run_teltonika(*device, "tat100", "--codec", "8")
    assert result.returncode == 2
    assert "--codec: tat100 speaks 8E, not 8" in result.stderr
