"""What the checks share. A check passes ("yes"), or raises: No with the reason, Part when it is there but not all of it, Untried
when this server was not set up for it. The rules are those that servers of NBD are known to get wrong; the sections of the
protocol's doc/proto.md are named where they decide."""

import random

from wire import *  # noqa: F403

CHECKS = []
PAGE = 64 << 10
# A handshake that is at its end closes within this time. Less than the time limit of handshakes, which would close it, too.
CLOSES_WITHIN_S = 5
MIB = 1 << 20


class No(Exception):
    pass


class Part(Exception):
    pass


class Untried(Exception):
    pass


def check(title):
    def keep(function):
        CHECKS.append((title, function))
        return function

    return keep


def expect(condition, why):
    if not condition:
        raise No(why)


class Session:
    """Connections to one target, closed at the end of a check."""

    def __init__(self, target):
        self.target, self.clients = target, []

    def connect(self, address=None, flags=3):
        client = Client(address or self.target.address, self.target.patience_s)
        self.clients.append(client)
        return client.greet(flags)

    def enter(self, form="structured", contexts=(), read_only=False):
        address, name = (self.target.address, self.target.name)
        if read_only:
            address, name = self.target.read_only or untried("no read-only export")
        client = self.connect(address)
        if form == "structured":
            expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
        if form == "extended":
            expect(client.negotiate("EXTENDED_HEADERS"), "no extended headers")
        if contexts:
            client.ids = client.set_context(name, *contexts)
            expect(len(client.ids) == len(contexts), f"of {', '.join(contexts)} it has only {sorted(client.ids)}")
        expect(client.go(name)[-1][0] == ACK, "GO is refused")
        return client

    def close(self):
        for client in self.clients:
            client.close()


def untried(why):
    raise Untried(why)


def name_of(kind):
    return next((name for name, number in ERR.items() if number == kind), "ACK" if kind == ACK else str(kind))


def is_error(replies, *names):
    kind = replies[-1][0]
    expect(kind in [ERR[name] for name in names], f"{name_of(kind)} for {' or '.join(names)}")


def needs(client, flag, what):
    expect(client.flags & flag, f"{what} is not offered")


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)
