"""The handshake: options, and what is wrong with them."""

import struct

from suite import *  # noqa: F403


@check("fixed newstyle and NO_ZEROES are offered")
def _(s):
    expect(s.connect().server_flags & 3 == 3, "flags are missing")


@check("an unknown client flag closes the connection")
def _(s):
    client = s.connect(flags=1 << 20 | 3)
    try:
        client.send_option("ABORT")
    except Closed:
        return
    expect(client.at_end(CLOSES_WITHIN_S), "it is ignored")


@check("EXPORT_NAME: size and flags, with 124 zeroes unless NO_ZEROES")
def _(s):
    for flags, zeroes in ((1, 124), (3, 0)):
        client = s.connect(flags=flags)
        client.send_option("EXPORT_NAME", s.target.name.encode())
        size = struct.unpack(">QH", client.receive(10))[0]
        expect(size > 0 and client.receive(zeroes) == bytes(zeroes), "no zeroes")
        expect(client.alive(), "no READ afterwards")


@check("ABORT is acknowledged, then closed")
def _(s):
    client = s.connect()
    client.send_option("ABORT")
    expect(client.option_reply()[0] == ACK, "no ACK")
    expect(client.at_end(CLOSES_WITHIN_S), "it stays open")


@check("LIST names the export; with data it is ERR_INVALID")
def _(s):
    client = s.connect()
    replies = client.option("LIST")
    expect(replies[-1][0] == ACK, name_of(replies[-1][0]))
    names = [data[4 : 4 + struct.unpack(">I", data[:4])[0]].decode() for kind, data in replies if kind == SERVER]
    expect(s.target.name in names or names == [""], f"only {names}")
    is_error(client.option("LIST", b"1234"), "INVALID")


@check("LIST where nothing may be listed is ERR_POLICY, and the session goes on")
def _(s):
    address, name = s.target.unlisted or untried("no listener that refuses LIST")
    client = s.connect(address)
    is_error(client.option("LIST"), "POLICY")
    expect(client.go(name)[-1][0] == ACK, "GO is refused afterwards")


@check("GO and INFO: INFO_EXPORT before ACK; after an error the session goes on")
def _(s):
    client = s.connect()
    if not s.target.any_name:
        is_error(client.go("no-such-export-" + "x" * 20), "UNKNOWN", "POLICY")
    is_error(client.option("GO", b"123"), "INVALID")
    for option in ("INFO", "INFO", "GO"):
        replies = client.go(s.target.name, option=option)
        expect(replies[-1][0] == ACK, f"{option}: {name_of(replies[-1][0])}")
        expect(any(kind == INFO and data[:2] == b"\0\0" for kind, data in replies), "no INFO_EXPORT before ACK")
    expect(client.alive(), "no READ afterwards")


@check("INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE when asked for")
def _(s):
    replies = s.connect().go(s.target.name, (1, 2, 3), "INFO")
    kinds = {struct.unpack(">H", data[:2])[0]: data[2:] for kind, data in replies if kind == INFO}
    expect(3 in kinds, "no INFO_BLOCK_SIZE")
    low, preferred, high = struct.unpack(">III", kinds[3])
    expect(low & (low - 1) == 0 and low <= preferred <= high, f"sizes {low}, {preferred}, {high}")
    if 1 not in kinds:
        raise Part("no INFO_NAME")


@check("INFO and GO present the same size and flags, in each header form")
def _(s):
    for form in ("none", "STRUCTURED_REPLY", "EXTENDED_HEADERS"):
        client = s.connect()
        if form != "none":
            if not client.negotiate(form):
                continue
            client.set_context(s.target.name, "base:allocation")
        told = []
        for option in ("INFO", "GO"):
            expect(client.go(s.target.name, option=option)[-1][0] == ACK, f"{option} is refused")
            told.append((client.size, client.flags))
        expect(told[0] == told[1], f"{form}: INFO presents {told[0]}, GO {told[1]}")


@check("unknown options are ERR_UNSUP, read to their end (rule 1)")
def _(s):
    client = s.connect()
    for number, length in ((4000, 0), (4001, 70_000)):
        is_error(client.option(number, bytes(length)), "UNSUP")
    expect(client.go(s.target.name)[-1][0] == ACK, "the session is lost")


@check("an option of 4 GiB neither hangs nor is believed (rule 1)")
def _(s):
    client = s.connect()
    try:
        client.send_option("GO", bytes(4 * MIB), length=0xFFFFFFFF)
        client.socket.settimeout(0.3)
        client.option_reply()
        raise No("it is answered before it is read")
    except (Closed, TimeoutError):
        pass
    expect(s.connect().go(s.target.name)[-1][0] == ACK, "the server is gone")


@check("names over 4096 bytes and inner lengths that disagree are errors, and the session goes on (rule 1)")
def _(s):
    client = s.connect()
    is_error(client.go("x" * 4097), "INVALID", "TOO_BIG", "UNKNOWN")
    for data in (struct.pack(">I", 1 << 30) + b"x" * 10, struct.pack(">I", 4) + b"diskXYZ", export_data("disk", (1, 2)) + b"x"):
        is_error(client.option("GO", data), "INVALID")
    expect(client.go(s.target.name)[-1][0] == ACK, "the session is lost")


@check("echoed names are bounded (rule 10)")
def _(s):
    client = s.connect()
    for kind, data in client.go("x" * 4096):
        expect(len(data) <= 4096, f"a message of {len(data)} bytes")


@check("wrong option magic closes")
def _(s):
    client = s.connect()
    client.send(bytes(16))
    expect(client.at_end(CLOSES_WITHIN_S), "it stays open")
