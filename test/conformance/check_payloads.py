"""Payloads: which requests have one, and that no byte of one is ever parsed as a request.

A forged request is a WRITE to TARGET; payloads here are forged requests back to back. A server that refuses a request and then takes
its payload for requests writes to TARGET. It may read the payload past or close the connection."""

import struct

from suite import *  # noqa: F403

TARGET = 200 * MIB
FORGED_BYTES = 512
FORGED_COOKIE = 0x0F0F0F0F0F0F0F0F


def forged(extended, length):
    """`length` bytes: whole requests in the connection's header form, the last one cut."""
    form, magic, flags = (">IHHQQQ", EXTENDED_REQUEST, PAYLOAD_LEN) if extended else (">IHHQQI", REQUEST, 0)
    one = struct.pack(form, magic, flags, WRITE, FORGED_COOKIE, TARGET, FORGED_BYTES) + b"forged!!" * (FORGED_BYTES // 8)
    return (one * (length // len(one) + 1))[:length]


def prepare(s):
    """Clears TARGET of what an earlier check may have found. Returns the connection."""
    client = s.enter("simple")
    if client.size < TARGET + FORGED_BYTES:
        untried("its disk is too small")
    expect(client.write(TARGET, bytes(FORGED_BYTES)) == 0, "WRITE fails")
    return client


def refused_writes(client):
    """(what, command, offset, payload length, flags): WRITE requests that a server must refuse."""
    yield "past the end", WRITE, client.size - 512, 64 << 10, 0
    yield "beyond the end", WRITE, client.size, 512, 0
    yield "an offset that wraps around", WRITE, (1 << 64) - 4096, 64 << 10, 0
    yield "an unknown flag", WRITE, PAGE, 64 << 10, 1 << 14
    yield "another command's flag", WRITE, PAGE, 64 << 10, NO_HOLE
    yield "one byte", WRITE, client.size, 1, 0


def send_refused(client, what, command, offset, length, flags):
    """Sends a request with a forged payload. Whether it must be refused is another check's matter; afterwards the connection answers
    the next request and nothing else, or it has ended."""
    try:
        error = client.error(command, offset, length, flags, forged(client.extended, length))
        # The next answer belongs to the next request: ask() sees to it.
        again = client.error(READ, 0, 512)
    except Closed:
        return
    except AssertionError as why:
        raise No(f"{what}: then {why}") from None
    except TimeoutError:
        raise No(f"{what}: the connection answers nothing more") from None
    expect(again == 0, f"{what}: then READ fails with {again}, after {error}")


def expect_untouched(s, what):
    """Through another connection, which sees what a server did before it closed the one that was tried."""
    expect(b"forged" not in s.enter("simple").read(TARGET, FORGED_BYTES)[0], f"{what}: the payload was parsed as requests")


@check("WRITE in compact form: the payload of a refused one never acts as a request")
def _(s):
    plain = prepare(s)
    for form in ("simple", "structured"):
        for case in refused_writes(plain):
            try:
                client = s.enter(form)
            except No:
                break  # no structured replies: that is another check
            send_refused(client, *case)
            expect_untouched(s, case[0])


@check("WRITE in compact form to a read-only export: its payload never acts as a request")
def _(s):
    prepare(s)
    client = s.enter("simple", read_only=True)
    for flags in (0, FUA, 1 << 14):
        try:
            expect(client.error(WRITE, 0, 64 << 10, flags, forged(False, 64 << 10)), "it is not refused")
            expect(client.alive(), "the connection is lost")
        except Closed:
            client = s.enter("simple", read_only=True)
    expect_untouched(s, "read-only")


@check("EXTENDED_HEADERS: WRITE has its payload without PAYLOAD_LEN too, as QEMU sends it")
def _(s):
    prepare(s)
    client = s.enter("extended")
    data = forged(True, 64 << 10)
    for flags in (0, PAYLOAD_LEN, FUA, FUA | PAYLOAD_LEN):
        expect(client.error(WRITE, 0, PAGE, 0, noise(PAGE)) == 0, "WRITE without PAYLOAD_LEN fails")
        expect(client.error(WRITE, 0, len(data), flags, data) == 0, f"WRITE with flags {flags:#x} fails")
        expect(client.read(0, len(data))[0] == data, f"WRITE with flags {flags:#x}: other bytes come back")
    expect_untouched(s, "a block of requests")


@check("EXTENDED_HEADERS: the payload of a refused WRITE never acts as a request, with PAYLOAD_LEN or without")
def _(s):
    for what, command, offset, length, flags in refused_writes(prepare(s)):
        for more in (0, PAYLOAD_LEN):
            send_refused(s.enter("extended"), what, command, offset, length, flags | more)
            expect_untouched(s, what)


@check("EXTENDED_HEADERS: the payload of a WRITE to a read-only export never acts as a request")
def _(s):
    prepare(s)
    for flags in (0, PAYLOAD_LEN):
        client = s.enter("extended", read_only=True)
        try:
            expect(client.error(WRITE, 0, 64 << 10, flags, forged(True, 64 << 10)), "it is not refused")
            expect(client.alive(), "the connection is lost")
        except Closed:
            pass
        expect_untouched(s, f"flags {flags:#x}")


@check("EXTENDED_HEADERS: a payload of READ, FLUSH, TRIM, CACHE, WRITE_ZEROES or an unknown command never acts as a request")
def _(s):
    prepare(s)
    for contexts in ([], ["base:allocation"]):
        for command in (READ, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, 99):
            for length in (12, 64 << 10):
                send_refused(s.enter("extended", contexts), f"command {command}", command, 0, length, PAYLOAD_LEN)
                expect_untouched(s, f"command {command}")


@check("a payload over the limit of 64 MiB never acts as a request, in each header form")
def _(s):
    prepare(s)
    length = 64 * MIB + 4096
    for form in ("simple", "extended"):
        try:
            client = s.enter(form)
        except No:
            break  # no extended headers: that is another check
        try:
            client.error(WRITE, PAGE, length, 0, forged(client.extended, length))
            expect(client.alive(), "the connection answers nothing more")
        except Closed:
            pass
        expect_untouched(s, f"{form} headers")
