"""What may be in each sector of a volume, given what was sent, answered and flushed.

A write is known by its number; numbers grow. For each sector the model holds the number that is durable for certain
and, in the order sent, those that came later. A power cut may leave any of these and nothing else; the end of a process
leaves at least what was answered.
"""

import struct

SECTOR = 512


class Model:
    def __init__(self):
        self.last = 0  # the newest number
        self.zeroing = {0}  # numbers that left zeros (0: never written)
        self.durable = {}  # sector -> number (absent: 0)
        self.later = {}  # sector -> numbers, oldest first
        self.answered = {}  # sector -> the newest of `later` that was answered
        self.answered_last = {}  # likewise, by the run before
        self.busy = set()  # sectors with a write in flight: at most one at a time, so that "later" has a meaning

    def content(self, sector, number):
        """The bytes that write `number` left in this sector: place and number, 32 times."""
        if number in self.zeroing:
            return bytes(SECTOR)
        return struct.pack("<QQ", sector, number) * (SECTOR // 16)

    def begin(self, sectors, zeroes=False):
        """A write is sent. Answers its number."""
        assert self.busy.isdisjoint(sectors)
        self.last += 1
        if zeroes:
            self.zeroing.add(self.last)
        self.busy.update(sectors)
        for sector in sectors:
            self.later.setdefault(sector, []).append(self.last)
        return self.last

    def answer(self, sectors, number, durable):
        """The write was answered; with FUA it is durable."""
        self.busy.difference_update(sectors)
        for sector in sectors:
            if durable:
                self._settle(sector, number)
            else:
                self.answered[sector] = number

    def flush_sent(self):
        """What this flush will have made durable when it is answered."""
        return dict(self.answered)

    def flush_answered(self, covered):
        for sector, number in covered.items():
            self._settle(sector, number)

    def allowed(self, sector):
        return [self.durable.get(sector, 0), *self.later.get(sector, [])]

    def possible(self, sector, data):
        """The numbers of the writes that `data` may be of, after a crash; none: it may not be there."""
        return [number for number in self.allowed(sector) if self.content(sector, number) == data]

    def observe(self, sector, data):
        """After a restart. Answers whether `data` may be there; if so, it is what is durable now."""
        numbers = self.possible(sector, data)
        if not numbers:
            return False
        self.durable[sector] = numbers[-1]
        self.later.pop(sector, None)
        return True

    def restarted(self):
        """What was in flight will not be answered any more."""
        self.busy.clear()
        self.answered_last = self.answered
        self.answered = {}

    def process_died(self):
        """Since then only the server's process went, not the kernel: what it had answered is there, flushed or not."""
        for sector, number in self.answered_last.items():
            self._settle(sector, number)
        self.answered_last = {}

    def _settle(self, sector, number):
        later = self.later.get(sector, [])
        if number not in later:
            return  # something newer is durable already
        rest = later[later.index(number) + 1 :]
        self.durable[sector] = number
        if rest:
            self.later[sector] = rest
        else:
            del self.later[sector]
        if self.answered.get(sector) == number:
            del self.answered[sector]
