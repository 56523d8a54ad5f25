"""An NBD client that says exactly what a check wants it to say. Written from the NBD project's doc/proto.md alone; it shares no
code with the server, and uses nothing but Python's standard library."""

import socket
import statistics
import struct
import time

NBDMAGIC, IHAVEOPT = 0x4E42444D41474943, 0x49484156454F5054
OPTION_REPLY = 0x0003E889045565A9
REQUEST, SIMPLE, STRUCTURED = 0x25609513, 0x67446698, 0x668E33EF
EXTENDED_REQUEST, EXTENDED_REPLY = 0x21E41C71, 0x6E8A278C

OPT = {
    "EXPORT_NAME": 1, "ABORT": 2, "LIST": 3, "PEEK_EXPORT": 4, "STARTTLS": 5, "INFO": 6, "GO": 7,
    "STRUCTURED_REPLY": 8, "LIST_META_CONTEXT": 9, "SET_META_CONTEXT": 10, "EXTENDED_HEADERS": 11,
}
ACK, SERVER, INFO, META_CONTEXT = 1, 2, 3, 4
ERR = {
    "UNSUP": 1, "POLICY": 2, "INVALID": 3, "PLATFORM": 4, "TLS_REQD": 5, "UNKNOWN": 6, "SHUTDOWN": 7,
    "BLOCK_SIZE_REQD": 8, "TOO_BIG": 9, "EXT_HEADER_REQD": 10,
}
ERR = {name: number | 1 << 31 for name, number in ERR.items()}

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))
(HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, ROTATIONAL, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF, CAN_MULTI_CONN,
 SEND_RESIZE, SEND_CACHE, SEND_FAST_ZERO, BLOCK_STATUS_PAYLOAD) = (1 << bit for bit in range(13))
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, STATUS_EXT, ERROR, ERROR_OFFSET = 0, 1, 2, 5, 6, 0x8001, 0x8002
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 22, 28, 75, 95, 108


class Closed(Exception):
    """The server closed the connection."""


class Client:
    def __init__(self, address, timeout=10.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.extended = self.structured = False
        self.cookie = 1000
        self.size = self.flags = 0

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(min(count - len(data), 1 << 20))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            data += part
        return bytes(data)

    def at_end(self, limit_s=None):
        """True when the server closes without another byte; False when it says something or stays for the limit."""
        if limit_s is not None:
            self.socket.settimeout(limit_s)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def start_tls(self, context):
        kind = self.option("STARTTLS")[-1][0]
        assert kind == ACK, f"STARTTLS is answered {kind:#x}"
        self.socket = context.wrap_socket(self.socket)

    # ---- handshake ----

    def greet(self, flags=3):
        magic, option, self.server_flags = struct.unpack(">QQH", self.receive(18))
        assert (magic, option) == (NBDMAGIC, IHAVEOPT), "no greeting of newstyle"
        self.send(struct.pack(">I", flags))
        return self

    def send_option(self, name, data=b"", length=None):
        number = OPT.get(name, name)
        self.send(struct.pack(">QII", IHAVEOPT, number, len(data) if length is None else length) + data)

    def option_reply(self):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == OPTION_REPLY, "no magic of an option reply"
        assert length <= 1 << 20, f"an option reply of {length} bytes"
        return kind, self.receive(length)

    def option(self, name, data=b""):
        """An option and its replies up to the final one, as [(type, data)]."""
        self.send_option(name, data)
        replies = []
        while not replies or (replies[-1][0] != ACK and replies[-1][0] < 1 << 31):
            replies.append(self.option_reply())
        return replies

    def go(self, name, infos=(), option="GO"):
        replies = self.option(option, export_data(name, infos))
        for kind, data in replies:
            if kind == INFO and data[:2] == b"\0\0":
                self.size, self.flags = struct.unpack(">QH", data[2:12])
        return replies

    def negotiate(self, option):
        kind = self.option(option)[-1][0]
        if kind == ACK:
            self.structured = True
            self.extended = self.extended or option == "EXTENDED_HEADERS"
        return kind == ACK

    def set_context(self, name, *queries):
        replies = self.option("SET_META_CONTEXT", meta_data(name, queries))
        return {data[4:].decode(): struct.unpack(">I", data[:4])[0] for kind, data in replies if kind == META_CONTEXT}

    # ---- transmission ----

    def packed(self, command, offset=0, length=0, flags=0):
        """A request as bytes, with the next cookie."""
        self.cookie += 1
        form, magic = (">IHHQQQ", EXTENDED_REQUEST) if self.extended else (">IHHQQI", REQUEST)
        return struct.pack(form, magic, flags, command, self.cookie, offset, length)

    def request(self, command, offset=0, length=0, flags=0, payload=b""):
        """Sends one request; answers its cookie."""
        self.send(self.packed(command, offset, length, flags) + payload)
        return self.cookie

    def read_many(self, count, length, then=b""):
        """Sends READs of `length`, one behind the other, by one call: one at a time could wait for a server that waits for its
        answers to be read. Answers {cookie: index}."""
        first = self.cookie + 1
        self.send(b"".join(self.packed(READ, i * length, length) for i in range(count)) + then)
        return {first + i: i for i in range(count)}

    def chunk(self, simple_length=0):
        """One reply message: a dictionary of its fields."""
        magic = struct.unpack(">I", self.receive(4))[0]
        if magic == SIMPLE:
            error, cookie = struct.unpack(">IQ", self.receive(12))
            data = self.receive(simple_length) if error == 0 else b""
            return {"form": "simple", "error": error, "cookie": cookie, "data": data, "done": True, "type": None}
        if magic == STRUCTURED:
            flags, kind, cookie, length = struct.unpack(">HHQI", self.receive(16))
            reply = {"form": "structured"}
        else:
            assert magic == EXTENDED_REPLY, f"unknown magic {magic:#x}"
            flags, kind, cookie, at, length = struct.unpack(">HHQQQ", self.receive(28))
            reply = {"form": "extended", "at": at}
        assert length <= (64 << 20) + 64, f"a chunk of {length} bytes"
        data = self.receive(length)
        reply |= {"type": kind, "cookie": cookie, "done": bool(flags & 1), "data": data, "error": 0}
        if kind & 0x8000:
            reply["error"], size = struct.unpack(">IH", data[:6])
            reply["message"] = data[6 : 6 + size].decode()
        return reply

    def ask(self, command, offset=0, length=0, flags=0, payload=b""):
        """A request and all its chunks."""
        cookie = self.request(command, offset, length, flags, payload)
        chunks = []
        while not chunks or not chunks[-1]["done"]:
            chunks.append(self.chunk(length if command == READ else 0))
            assert chunks[-1]["cookie"] == cookie, "the answer to another request"
        return chunks

    def error(self, command, offset=0, length=0, flags=0, payload=b""):
        """The error of the answer; 0: none."""
        return next((chunk["error"] for chunk in self.ask(command, offset, length, flags, payload) if chunk["error"]), 0)

    def write(self, offset, data, flags=0):
        return self.error(WRITE, offset, len(data), flags | (PAYLOAD_LEN if self.extended else 0), data)

    def read(self, offset, length, flags=0):
        """The bytes, and the chunks they came in; each byte must be told once."""
        chunks = self.ask(READ, offset, length, flags)
        if chunks[0]["form"] == "simple":
            assert chunks[0]["error"] == 0, f"error {chunks[0]['error']}"
            return chunks[0]["data"], chunks
        data, told = bytearray(length), 0
        for chunk in chunks:
            assert not chunk["error"], f"error {chunk['error']}"
            if chunk["type"] not in (OFFSET_DATA, OFFSET_HOLE):
                continue
            at = struct.unpack(">Q", chunk["data"][:8])[0] - offset
            part = chunk["data"][8:] if chunk["type"] == OFFSET_DATA else bytes(struct.unpack(">I", chunk["data"][8:])[0])
            assert at >= 0 and len(part) > 0 and at + len(part) <= length, "a chunk outside of what was asked for"
            data[at : at + len(part)] = part
            told += len(part)
        assert told == length, f"{told} of {length} bytes were told"
        return bytes(data), chunks

    def alive(self):
        """Whether the connection still answers."""
        try:
            return self.error(READ, 0, 512) == 0
        except (Closed, TimeoutError):
            return False


def export_data(name, infos=()):
    name = name.encode() if isinstance(name, str) else name
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def meta_data(name, queries):
    data = struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(queries))
    return data + b"".join(struct.pack(">I", len(query)) + query.encode() for query in queries)


def round_trip_ms(address, count=200, limit_s=4.0):
    """The median time from sending an option (an unknown one) to the whole of its answer, in ms. At most 16 on each connection:
    some servers take no more than 32. `count` round trips, or as many as there is time for."""
    times = []
    end = time.perf_counter() + limit_s
    while len(times) < count and time.perf_counter() < end:
        client = Client(address).greet()
        try:
            for _ in range(16):
                begin = time.perf_counter()
                reply = client.option(4000)[-1][0]
                times.append(time.perf_counter() - begin)
                assert reply >= 1 << 31, f"option 4000 is answered {reply}"
        finally:
            client.close()
    return statistics.median(times) * 1000
