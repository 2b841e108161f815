"""`teltonika emulate --fault` against the real server: nothing is lost, nothing stands twice."""

import json

from serving import STREAM, ServerProcess, run_teltonika

FAULTS = (
    "split=0.05,coalesce=0.05,delay=0.01,crc=0.02,length=0.02,counts=0.02,garbage=0.02,"
    "duplicate=0.05,drop-ack=0.02,cut=0.02,half-open=0.02,storm=0.01,twin=0.02"
)


def test_every_record_stands_on_the_stream_once(server: ServerProcess) -> None:
    result = run_teltonika(
        *("emulate", "--imei", "356307042441013", "--count", "10", "--port", str(server.port)),
        *("--records", "60", "--interval", "0.02", "--start-time", "2026-01-31"),
        *("--ack-timeout", "0.5", "--fault", FAULTS, "--fault", "rst@0.5", "--json"),
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["records_acknowledged"] == 600
    assert report["corrupt_acknowledged"] == 0
    assert len(report["faults"]) == 14
    assert report["faults"]["rst"] == 10
    assert server.redis.xlen(STREAM) == 600
    seen = {(payload["device_id"], payload["timestamp"]) for payload in server.payloads()}
    assert len(seen) == 600


def test_a_mistake_gets_a_sentence() -> None:
    result = run_teltonika("emulate", "--imei", "356307042441013", "--fault", "crx=0.1")
    assert result.returncode == 2
    assert "--fault: 'crx' is none of split, coalesce, delay" in result.stderr
