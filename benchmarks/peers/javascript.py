"""The peers from npm, each run by Node in a process of its own; its start is not timed."""

import shutil
import subprocess
from pathlib import Path

import msgspec

from benchmarks.peers.peer import NotInstalledError, PeerError, Reading, Timed

HERE = Path(__file__).parent
_SCRIPT = HERE / "decode.js"
_TIMEOUT_S = 60


class _Package(msgspec.Struct):
    version: str


class _Answer(msgspec.Struct):
    """One of the three: what decode.js prints."""

    readings: list[Reading] | None = None
    timed: Timed | None = None
    error: str | None = None


class JavaScriptPeer:
    """A package in the ``node_modules`` of a folder."""

    def __init__(self, name: str, folder: Path = HERE) -> None:
        self.name = name
        self._folder = folder

    def version(self) -> str:
        _node()
        manifest = self._folder / "node_modules" / self.name / "package.json"
        if not manifest.exists():
            raise NotInstalledError("npm ci in benchmarks/peers")
        return msgspec.json.decode(manifest.read_bytes(), type=_Package).version

    def read(self, packet: bytes) -> list[Reading]:
        readings = self._ask("read", [packet]).readings
        assert readings is not None
        return readings

    def time(self, packets: list[bytes]) -> Timed:
        timed = self._ask("time", packets).timed
        assert timed is not None
        return timed

    def _ask(self, what: str, packets: list[bytes]) -> _Answer:
        try:
            result = subprocess.run(
                [_node(), "--no-deprecation", _SCRIPT, self._folder, self.name, what],
                input="\n".join(packet.hex() for packet in packets).encode(),
                capture_output=True,
                check=True,
                timeout=_TIMEOUT_S,
            )
            answer = msgspec.json.decode(result.stdout, type=_Answer)
        except subprocess.TimeoutExpired:
            raise PeerError(f"no end after {_TIMEOUT_S} s") from None
        except subprocess.CalledProcessError as error:
            raise PeerError(f"node ends with {error.returncode}") from error
        except msgspec.ValidationError as error:
            raise PeerError(f"what it gives is no record: {error}") from error
        if answer.error is not None:
            raise PeerError(answer.error)
        return answer


def runtime() -> str:
    """Node's version or "not installed: ..."."""
    try:
        node = _node()
    except NotInstalledError as error:
        return f"not installed: {error}"
    return subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise NotInstalledError("no node on the path")
    return node
