"""A small client over libnbd for what fio does not do. Prints one line of JSON.

    fua URI DEPTH SECONDS AREA     random 4 KiB writes with FUA                -> operations, seconds
    first-read TIMES URI           connect, handshake, read 4 KiB: each time   -> ms: [...]
    stride write|read|hold URI STEP COUNT    4 KiB in each STEP bytes; hold: read, print, then stay until standard input ends
    zeroes URI BYTES               WRITE_ZEROES over all of it
    map URI                        BLOCK_STATUS over all of it                 -> operations, ms
    discard URI                    TRIM over all of it                         -> operations, ms
    each                           URIs on standard input: connect to all, read 4 KiB of each   -> seconds
"""

import json
import os
import random
import sys
import time

import nbd

BLOCK = 4096


def connect(uri):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    return handle


class Pipeline:
    """Keeps up to `depth` requests in flight."""

    def __init__(self, handle, depth):
        self.handle, self.depth, self.flying, self.done, self.error = handle, depth, 0, 0, 0

    def completed(self, error):
        self.flying -= 1
        self.done += 1
        self.error = self.error or getattr(error, "value", error)
        return 1

    def begin(self, request):
        while self.flying >= self.depth:
            self.handle.poll(-1)
        if self.error:
            sys.exit("a request failed: " + os.strerror(self.error))
        self.flying += 1
        request(self.completed)

    def finish(self):
        while self.flying:
            self.handle.poll(-1)
        if self.error:
            sys.exit("a request failed: " + os.strerror(self.error))


def fua(uri, depth, seconds, area):
    handle = connect(uri)
    pipeline = Pipeline(handle, int(depth))
    data = nbd.Buffer.from_bytearray(bytearray(random.randbytes(BLOCK)))
    begin = time.monotonic()
    while time.monotonic() - begin < float(seconds):
        offset = random.randrange(int(area) // BLOCK) * BLOCK
        pipeline.begin(lambda done: handle.aio_pwrite(data, offset, done, nbd.CMD_FLAG_FUA))
    pipeline.finish()
    return {"operations": pipeline.done, "seconds": time.monotonic() - begin}


def first_read(times, uri):
    took = []
    for _ in range(int(times)):
        begin = time.monotonic()
        handle = connect(uri)
        handle.pread(BLOCK, 0)
        took.append((time.monotonic() - begin) * 1000)
        handle.shutdown()
    return {"ms": took}


def stride(what, uri, step, count):
    handle = connect(uri)
    pipeline = Pipeline(handle, 64)
    buffers = [nbd.Buffer.from_bytearray(bytearray(random.randbytes(BLOCK))) for _ in range(64)]
    for index in range(int(count)):
        offset, buffer = index * int(step), buffers[index % 64]
        if what == "write":
            pipeline.begin(lambda done: handle.aio_pwrite(buffer, offset, done))
        else:
            pipeline.begin(lambda done: handle.aio_pread(buffer, offset, done))
    pipeline.finish()
    if what == "write":
        handle.flush()
    if what == "hold":
        print(json.dumps({"operations": pipeline.done}), flush=True)
        sys.stdin.read()
    handle.shutdown()
    return {"operations": pipeline.done}


def zeroes(uri, size):
    handle = connect(uri)
    at, piece = 0, 1 << 31
    while at < int(size):
        handle.zero(min(piece, int(size) - at), at)
        at += piece
    handle.flush()
    handle.shutdown()
    return {"operations": 1}


def whole(uri, begin_request):
    """One request of up to 2 GiB after the other, over the whole export; begin_request answers how far it got."""
    handle = nbd.NBD()
    handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    handle.connect_uri(uri)
    begin, at, size, operations = time.monotonic(), 0, handle.get_size(), 0
    while at < size:
        at += begin_request(handle, min(1 << 31, size - at), at)
        operations += 1
    ms = (time.monotonic() - begin) * 1000
    handle.shutdown()
    return {"operations": operations, "ms": ms}


def map_all(uri):
    def request(handle, count, at):
        told = 0

        def extent(_context, _offset, entries, _error):
            nonlocal told
            told += sum(entries[0::2])

        handle.block_status(count, at, extent)
        return told

    return whole(uri, request)


def discard(uri):
    def request(handle, count, at):
        handle.trim(count, at)
        return count

    return whole(uri, request)


def each():
    uris = sys.stdin.read().split()
    begin = time.monotonic()
    handles = [connect(uri) for uri in uris]
    for handle in handles:
        handle.pread(BLOCK, 0)
    seconds = time.monotonic() - begin
    for handle in handles:
        handle.shutdown()
    return {"operations": len(uris), "seconds": seconds}


commands = {"fua": fua, "first-read": first_read, "stride": stride, "zeroes": zeroes, "each": each,
            "map": map_all, "discard": discard}
print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
