"""A model that remembers what was sent and answered, and when: by how many entries the log of a recording disk had.

So it can say what a power cut at any point of that log may have left (recording_disk.cc says why the numbers can be trusted).
"""

import mmap
import struct

from model import Model


class Position:
    """The number of entries in the log, from the file that the recording disk keeps it in."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.memory = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def now(self):
        return struct.unpack_from("<Q", self.memory)[0]


class History(Model):
    """Each call is also kept, as (position, method, arguments): taken before what is sent, after what was answered."""

    def __init__(self, position):
        super().__init__()
        self.position = position
        self.events = []
        self.replayed = Model()
        self.replayed_events = 0

    def begin(self, sectors, zeroes=False):
        self.events.append((self.position.now(), Model.begin, (sectors, zeroes)))
        return super().begin(sectors, zeroes)

    def answer(self, sectors, number, durable):
        self.events.append((self.position.now(), Model.answer, (sectors, number, durable)))
        super().answer(sectors, number, durable)

    def flush_answered(self, covered):
        self.events.append((self.position.now(), Model.flush_answered, (covered,)))
        super().flush_answered(covered)

    def restarted(self):
        self.events.append((self.position.now(), Model.restarted, ()))
        super().restarted()

    def at(self, position):
        """The model as of this position, which never falls from call to call. To be looked at, not to be changed."""
        while self.replayed_events < len(self.events):
            when, method, arguments = self.events[self.replayed_events]
            if when > position:
                break
            method(self.replayed, *arguments)
            self.replayed_events += 1
        return self.replayed
