"""A cluster, or a primary with Sentinels, to try things with: prints its URL; Ctrl-C ends it."""

import argparse
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from cluster import Cluster
from sentinels import Sentinels

TOPOLOGIES = {"cluster": Cluster, "sentinel": Sentinels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "topology",
        choices=TOPOLOGIES,
        help="three primaries with a replica each, or one with two and three Sentinels",
    )
    chosen = TOPOLOGIES[parser.parse_args().topology]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with (
        tempfile.TemporaryDirectory(prefix="teltonika-") as directory,
        suppress(KeyboardInterrupt),
        chosen(Path(directory) / "nodes") as topology,
    ):
        print(topology.url, flush=True)
        for node in topology.nodes:
            assert node.process is not None
            print(f"{node.name} 127.0.0.1:{node.port}, pid {node.process.pid}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
