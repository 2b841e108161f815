"""A fleet that sends while things break, and knows in the end what was acknowledged."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from serving import TELTONIKA, ServerProcess

DEVICES = 60
RECORDS = 60


@contextmanager
def sending_fleet(server: ServerProcess) -> Iterator[None]:
    """It sends while the body runs, for 6 s at least; in the end all of it is acknowledged."""
    command = [TELTONIKA, "emulate", "--count", str(DEVICES), "--port", str(server.port)]
    command += ["--records", str(RECORDS), "--interval", "0.1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            yield
            assert emulator.stdout is not None
            report = json.loads(emulator.stdout.read().splitlines()[-1])
            assert report["records_acknowledged"] == DEVICES * RECORDS
        finally:
            emulator.send_signal(signal.SIGINT)


def check_each_is_stored_once(entries: Iterable[Mapping[str, str]]) -> None:
    """By the fields of all entries on all streams: no record is missing, and none is doubled."""
    stored = Counter((fields["device_id"], fields["ts"]) for fields in entries)
    assert len(stored) == DEVICES * RECORDS
    assert set(stored.values()) == {1}
