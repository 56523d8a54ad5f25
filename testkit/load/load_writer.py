#!/usr/bin/python3
"""Writes to an NBD export until the server dies, and says after the restart whether the server kept its promises:

  1. What a FLUSH (on either connection) or FUA made durable is there, or something that was sent later.
  2. Every sector holds what was sent to that place: old or new, never a mixture, never another place's bytes.
  3. Trimmed and zeroed sectors read as zeros.

Usage: load_writer.py SIZE SEED [--places N] [--position FILE]. Commands come as lines of JSON on standard input, one answer for each on standard output:

  {"do": "load", "uri": U, "limit_s": N}    prints {"started": true}, then writes until the connections die
  {"do": "verify", "uri": U, "whole": B}    reads all places ever written to (whole: and that the rest reads as zeros)
  {"do": "digest", "uri": U}                the SHA-256 of these places in another export: a snapshot, a clone

With --position, for a server on a recording disk (FILE is the disk's POSITION): "verify" with "at": N judges what a power cut after
N entries of the log may have left. N never falls.
"""

import argparse
import errno
import hashlib
import json
import os
import random
import select
import sys
import time

import nbd

from history import History, Position
from model import SECTOR, Model

BLOCK = 4096
PLACE = 128 * 1024  # writes stay inside of a place
PLACES = 600  # unless told; spread over the whole volume
SMALL = 16 * 1024  # all but every fourth place uses only this much of it, so that sectors are written again and again
CONNECTIONS = 2
IN_FLIGHT = 8  # requests, for each connection


class Writer:
    def __init__(self, size, seed, places, model):
        self.size = size
        self.random = random.Random(seed)
        self.model = model
        offsets = self.random.sample(range(size // PLACE), places)
        self.places = [(n * PLACE, SMALL if i % 4 else PLACE) for i, n in enumerate(sorted(offsets))]

    # ---- load ----

    def load(self, uri, limit_s):
        self.counts = {"answered": 0, "flushes": 0, "failed": []}
        handles = [connect(uri) for _ in range(CONNECTIONS)]
        self.in_flight = {id(handle): 0 for handle in handles}
        say(started=True)
        end = time.monotonic() + limit_s
        self.died = False
        try:
            while time.monotonic() < end:
                for handle in handles:
                    while self.in_flight[id(handle)] < IN_FLIGHT:
                        self.send(handle)
                wait(handles)
            while any(self.in_flight.values()):
                wait(handles)
            for handle in handles:
                handle.shutdown()
        except nbd.Error:
            self.died = True
        self.model.restarted()
        return {"died": self.died, **self.counts}

    def send(self, handle):
        """One request. Sending raises when the connection is dead."""
        self.in_flight[id(handle)] += 1
        choice = self.random.random()
        if choice < 0.06:
            covered = self.model.flush_sent()
            handle.aio_flush(completion=self.completion(handle, lambda: self.flush_answered(covered)))
            return
        offset, length = self.free_range(aligned=choice < 0.4)
        sectors = range(offset // SECTOR, (offset + length) // SECTOR)
        zeroes = choice < 0.16
        number = self.model.begin(sectors, zeroes=zeroes)
        fua = self.random.random() < 0.05
        flags = nbd.CMD_FLAG_FUA if fua else 0
        done = self.completion(handle, lambda: self.model.answer(sectors, number, durable=fua))
        if choice < 0.11:
            handle.aio_trim(length, offset, completion=done, flags=flags)
        elif zeroes:
            handle.aio_zero(length, offset, completion=done, flags=flags)
        else:
            data = bytearray(b"".join(self.model.content(sector, number) for sector in sectors))
            handle.aio_pwrite(nbd.Buffer.from_bytearray(data), offset, completion=done, flags=flags)

    def free_range(self, aligned):
        """Where no write is in flight. Aligned: to whole blocks (a trim of less may do nothing)."""
        unit = BLOCK if aligned else SECTOR
        while True:
            start, size = self.random.choice(self.places)
            units = size // unit
            first = self.random.randrange(units)
            count = min(units - first, 1 if self.random.random() < 0.5 else self.random.randint(1, units))
            offset = start + first * unit
            sectors = range(offset // SECTOR, offset // SECTOR + count * unit // SECTOR)
            if self.model.busy.isdisjoint(sectors):
                return offset, count * unit

    def completion(self, handle, succeeded):
        def done(error):
            self.in_flight[id(handle)] -= 1
            if error.value == 0:
                self.counts["answered"] += 1
                succeeded()
            elif error.value != errno.ENOTCONN:  # libnbd itself says that when the connection dies
                self.counts["failed"].append(os.strerror(error.value))
            return 1

        return done

    def flush_answered(self, covered):
        self.counts["flushes"] += 1
        self.model.flush_answered(covered)

    # ---- verify ----

    def verify(self, uri, whole, at=None):
        """at: the state before stays as it is, for the next cut. Otherwise what is found is what is durable now."""
        model = self.model if at is None else self.model.at(at)
        judge = model.observe if at is None else model.possible
        if at is None:
            model.process_died()
        handle = connect(uri)
        bad = []
        checked = 0
        for start, size in self.places:
            data = handle.pread(size, start)
            for n in range(size // SECTOR):
                sector = start // SECTOR + n
                found = bytes(data[n * SECTOR : (n + 1) * SECTOR])
                checked += 1
                allowed = model.allowed(sector)
                if not judge(sector, found):
                    bad.append(f"sector {sector}: found {describe(found)}, allowed {allowed}")
        if whole:
            bad += self.rest_is_zero(handle)
        handle.shutdown()
        return {"sectors": checked, "bad": bad[:10], "bad_count": len(bad)}

    def rest_is_zero(self, handle):
        bad = []
        ends = [start + size for start, size in self.places]
        starts = [start for start, _ in self.places]
        for begin, end in zip([0, *ends], [*starts, self.size]):
            for offset in range(begin, end, 32 << 20):
                length = min(32 << 20, end - offset)
                if handle.pread(length, offset).count(0) != length:
                    bad.append(f"bytes that nobody wrote in {length} bytes from {offset} on")
        return bad

    def digest(self, uri):
        handle = connect(uri)
        digest = hashlib.sha256()
        for start, size in self.places:
            digest.update(handle.pread(size, start))
        handle.shutdown()
        return {"sha256": digest.hexdigest()}


def connect(uri):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    return handle


def wait(handles):
    """Until one of the connections can go on."""
    poll = select.poll()
    for handle in handles:
        direction = handle.aio_get_direction()
        reading = select.POLLIN if direction & nbd.AIO_DIRECTION_READ else 0
        writing = select.POLLOUT if direction & nbd.AIO_DIRECTION_WRITE else 0
        poll.register(handle.aio_get_fd(), reading | writing)
    ready = dict(poll.poll(1000))
    for handle in handles:
        events = ready.get(handle.aio_get_fd(), 0)
        direction = handle.aio_get_direction()
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and direction & nbd.AIO_DIRECTION_READ:
            handle.aio_notify_read()
        elif events & select.POLLOUT and direction & nbd.AIO_DIRECTION_WRITE:
            handle.aio_notify_write()


def describe(data):
    if data.count(0) == len(data):
        return "zeros"
    place, number = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")
    mixed = "" if bytes(data) == bytes(data[:16]) * (SECTOR // 16) else ", mixed"
    return f"write {number} of sector {place}{mixed}"


def say(**answer):
    print(json.dumps(answer), flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("size", type=int)
    options.add_argument("seed")
    options.add_argument("--places", type=int, default=PLACES)
    options.add_argument("--position")
    given = options.parse_args()
    model = History(Position(given.position)) if given.position else Model()
    writer = Writer(given.size, given.seed, given.places, model)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "load":
                say(**writer.load(command["uri"], command["limit_s"]))
            elif command["do"] == "digest":
                say(**writer.digest(command["uri"]))
            else:
                say(**writer.verify(command["uri"], command["whole"], command.get("at")))
        except nbd.Error as error:
            say(error=str(error))


main()
