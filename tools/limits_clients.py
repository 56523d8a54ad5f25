#!/usr/bin/python3
"""NBD connections for scripts/measure-limits. Commands come as lines of JSON, one answer for each on standard output:

  {"do": "open", "uris": [U…]}     opens a connection to each, and keeps it
  {"do": "load", "seconds": N}     writes 4 KiB at random places, one request in flight on each connection
"""

import json
import random
import select
import sys
import time

import nbd

BLOCK = 4096
handles = []


def load(seconds):
    data = nbd.Buffer.from_bytearray(bytearray(b"limits!!" * (BLOCK // 8)))
    done = 0
    end = time.monotonic() + seconds
    poll = select.poll()
    by_descriptor = {}

    def send(handle):
        cookie = handle.aio_pwrite(data, random.randrange(handle.get_size() // BLOCK) * BLOCK)
        waiting[id(handle)] = cookie

    waiting = {}
    for handle in handles:
        by_descriptor[handle.aio_get_fd()] = handle
        poll.register(handle.aio_get_fd(), select.POLLIN)
        send(handle)
    while waiting:
        for descriptor, _ in poll.poll(1000):
            handle = by_descriptor[descriptor]
            if handle.aio_get_direction() & nbd.AIO_DIRECTION_READ:
                handle.aio_notify_read()
            if id(handle) in waiting and handle.aio_command_completed(waiting[id(handle)]):
                done += 1
                del waiting[id(handle)]
                if time.monotonic() < end:
                    send(handle)
    return done / seconds


for line in sys.stdin:
    command = json.loads(line)
    answer = {}
    if command["do"] == "open":
        for uri in command["uris"]:
            handle = nbd.NBD()
            handle.connect_uri(uri)
            handles.append(handle)
    else:
        answer["per_second"] = load(command["seconds"])
    print(json.dumps(answer), flush=True)
