"""The process that `teltonika serve --workers` starts for each worker; nobody else calls it."""

import sys

from teltonika.cli.event_loop import run
from teltonika.server.queued_stream import queue_standard_error
from teltonika.server.workers import run_worker


def main() -> None:
    queue_standard_error()
    sys.exit(run_worker(run))


if __name__ == "__main__":
    main()
