"""`python counted_server.py NAME serve …`: the server, which says how many objects are alive in it.

Who connects to the abstract Unix socket NAME gets `live_objects.alive` as two numbers.
"""

import socket
import sys
import threading
from pathlib import Path


def counts_of(name: str) -> tuple[int, int]:
    """What the server of that name has now."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(f"\0{name}")
        objects, blocks = connection.recv(100).split()
        return int(objects), int(blocks)


def answer(name: str) -> None:
    """Tell it to everyone who asks, in a thread of its own that ends with the process."""
    from live_objects import alive

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0{name}")
    listening.listen()

    def run() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(" ".join(map(str, alive())).encode())

    threading.Thread(target=run, daemon=True).start()


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))
    answer(sys.argv[1])
    del sys.argv[1]

    from teltonika.cli.main import main

    main()
