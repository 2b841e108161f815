"""A PostgreSQL of the test's own, on a Unix socket in a directory of its own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

DEBIANS = Path("/usr/lib/postgresql")
USER = "postgres"


def _binaries() -> Path | None:
    """Debian keeps them out of the path."""
    versions = sorted(DEBIANS.glob("*/bin/postgres"))
    found = versions[-1] if versions else shutil.which("postgres")
    return None if found is None else Path(found).resolve().parent


BINARIES = _binaries()


class OwnPostgresql:
    """It does not run as root, and what it stores need not outlive a machine."""

    def __init__(self) -> None:
        assert BINARIES is not None
        # not pytest's own directory: another user may not look into that
        self._directory = tempfile.mkdtemp(prefix="pg-")
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._directory, USER, USER)
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        self.url = f"host={self._directory} user={USER} dbname=postgres"
        data = f"{self._directory}/data"
        initdb = [str(BINARIES / "initdb"), "--no-sync", "-A", "trust", "-U", USER, "-D", data]
        self._run(*initdb, "--locale=C.UTF-8")
        command = [str(BINARIES / "postgres"), "-D", data, "-k", self._directory]
        command += ["-c", "listen_addresses=", "-c", "fsync=off"]
        self._process = subprocess.Popen(
            [*self._as_user, *command], cwd="/", stderr=subprocess.DEVNULL
        )
        while not self._is_ready():
            assert self._process.poll() is None, "postgres has ended"

    def client(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def _is_ready(self) -> bool:
        try:
            self.client().close()
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        shutil.rmtree(self._directory)

    def _run(self, *command: str) -> None:
        subprocess.run([*self._as_user, *command], cwd="/", check=True, capture_output=True)
