"""A real HAProxy with `deploy/haproxy.cfg`, in front of three instances."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from certificates import Certificates
from free_ports import free_port

CONFIG = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
MISSING = "" if HAPROXY else "haproxy is not installed (Debian: apt-get install haproxy)"
BACKEND = "instances"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Place:
    """Where an instance is, whatever process it is at the moment."""

    port: int
    metrics_port: int

    @classmethod
    def anywhere(cls) -> Self:
        return cls(free_port(), free_port())


class Haproxy:
    """``places`` are those of the instances a, b and c."""

    def __init__(
        self, directory: Path, certificates: Certificates, places: Mapping[str, Place]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        pem = directory / "teltonika.pem"
        pem.write_bytes(
            certificates.server_cert.read_bytes() + certificates.server_key.read_bytes()
        )
        self.port = free_port()
        # The path of a unix socket must be short, and those of tests are not.
        self._socket_directory = Path(tempfile.mkdtemp(prefix="haproxy-"))
        self.stats = self._socket_directory / "stats.sock"
        self.log = directory / "haproxy.log"
        self.environment = {
            "TELTONIKA_BIND": f"127.0.0.1:{self.port}",
            "TELTONIKA_PEM": str(pem),
            "TELTONIKA_STATS": str(self.stats),
            "TELTONIKA_MAXCONN": "2000",
        }
        for name, place in places.items():
            self.environment[f"TELTONIKA_{name.upper()}"] = f"127.0.0.1:{place.port}"
            self.environment[f"TELTONIKA_{name.upper()}_METRICS"] = str(place.metrics_port)
        self._names = tuple(places)

    def __enter__(self) -> Self:
        assert HAPROXY is not None, MISSING
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [HAPROXY, "-db", "-f", str(CONFIG)],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait(self.stats.exists, "it listens")
            for name in self._names:
                self.wait_until_up(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self._socket_directory)

    def check(self) -> subprocess.CompletedProcess[str]:
        """Whether HAProxy takes the configuration, without a word of warning."""
        assert HAPROXY is not None, MISSING
        return subprocess.run(
            [HAPROXY, "-c", "-q", "-f", str(CONFIG)],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def say(self, command: str) -> str:
        """What its stats socket answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.stats))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()

    def drain(self, name: str) -> None:
        """No new connections to it."""
        self.say(f"set server {BACKEND}/{name} state drain")

    def undrain(self, name: str) -> None:
        self.say(f"set server {BACKEND}/{name} state ready")

    def connections(self, name: str) -> int:
        return int(self._stat(name, "scur"))

    def wait_until_up(self, name: str) -> None:
        """Its health check says so."""
        self._wait(lambda: self._stat(name, "status") == "UP", f"{name} is up")

    def wait_until_down(self, name: str) -> None:
        self._wait(lambda: self._stat(name, "status") == "DOWN", f"{name} is down")

    def _stat(self, name: str, column: str) -> str:
        header, *rows = (line.split(",") for line in self.say("show stat").splitlines() if line)
        place = [cell.removeprefix("# ") for cell in header].index(column)
        (row,) = (row for row in rows if row[:2] == [BACKEND, name])
        return row[place]

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None, f"haproxy has ended:\n{self.log.read_text()}"
            assert time.monotonic() < end, f"{what}: not in {PATIENCE_S:g} s"
            time.sleep(0.02)
