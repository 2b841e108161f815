"""What holds when nothing is said."""

from teltonika.server import ServerSettings


def test_the_defaults_are_the_contracts() -> None:
    settings = ServerSettings()
    assert (settings.host, settings.port) == ("0.0.0.0", 5027)
    assert settings.redis_url is None
    assert settings.telemetry_stream == "telemetry:teltonika"
