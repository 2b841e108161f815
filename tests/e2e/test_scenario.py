"""`teltonika emulate --scenario` against the real server."""

import json
from pathlib import Path
from xml.etree import ElementTree

from serving import STREAM, TELTONIKA, ServerProcess, run_teltonika

SCENARIO = """
emulate: {{imei: "356307042441013", count: 10, interval: 0.1, duration: 4}}
steps:
  - {{at: 0.5, do: lose-network, for: 1.5, devices: 50%}}
  - {{when: {{records_acknowledged: 10}}, do: panic}}
  - {{at: 3, do: ask, devices: [1], run: [{program}, send, "{{imei}}", getinfo, {redis}]}}
expect:
  command_answered_within: {limit_s}
  at_least: {{records_acknowledged: 350, answers: 1}}
  at_most: {{connections: 15, rejections: 0}}
"""


def run(
    server: ServerProcess, folder: Path, *, limit_s: float, more: tuple[str, ...] = ()
) -> tuple[int, dict[str, object], ElementTree.Element]:
    file, junit = folder / "outage.yaml", folder / "out.xml"
    redis = f"--redis={server.listening['redis']}"
    file.write_text(SCENARIO.format(program=TELTONIKA, redis=redis, limit_s=limit_s))
    result = run_teltonika(
        *("emulate", "--scenario", str(file), "--junit", str(junit), "--json"),
        *("--port", str(server.port), *more),
    )
    return result.returncode, json.loads(result.stdout), ElementTree.parse(junit).getroot()


def test_devices_go_through_it_and_nothing_is_lost(server: ServerProcess, tmp_path: Path) -> None:
    code, report, junit = run(server, tmp_path, limit_s=10)
    assert code == 0, json.dumps(report)
    assert all(verdict["passed"] for verdict in report["expectations"])
    assert report["records_acknowledged"] == server.redis.xlen(STREAM) >= 350
    payloads = server.payloads()
    panics = [payload["device_id"] for payload in payloads if payload["priority"] == 2]
    assert len(panics) == len(set(panics)) == 10
    assert (junit.get("tests"), junit.get("failures")) == ("6", "0")
    assert float(junit.get("time", 0)) >= 4


def test_what_does_not_come_true_is_told(server: ServerProcess, tmp_path: Path) -> None:
    code, report, junit = run(server, tmp_path, limit_s=0.001, more=("--duration", "3.2"))
    assert code == 1
    failed = [one for one in report["expectations"] if not one["passed"]]
    assert "commands are answered within 0.001 s" in [one["expectation"] for one in failed]
    assert junit.get("failures") == str(len(failed))
