"""Structured replies, metadata contexts and extended headers."""

import struct

from suite import *  # noqa: F403


@check("STRUCTURED_REPLY, and READ is answered by chunks, errors too (rule 3)")
def _(s):
    client = s.enter()
    for offset, length in ((0, 512), (client.size, 512)):
        expect(client.ask(READ, offset, length)[-1]["form"] == "structured", "a simple reply to READ")


@check("STRUCTURED_REPLY: a second one is ERR_INVALID, and so is data; the first stays in force")
def _(s):
    client = s.connect()
    is_error(client.option("STRUCTURED_REPLY", b"1"), "INVALID")
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
    is_error(client.option("STRUCTURED_REPLY"), "INVALID")
    expect(client.go(s.target.name)[-1][0] == ACK, "GO is refused")
    expect(client.ask(READ, 0, 512)[-1]["form"] == "structured", "a simple reply to READ")


@check("SET_META_CONTEXT before STRUCTURED_REPLY is ERR_INVALID, and selects nothing")
def _(s):
    client = s.connect()
    is_error(client.option("SET_META_CONTEXT", meta_data(s.target.name, ["base:allocation"])), "INVALID")
    expect(client.go(s.target.name)[-1][0] == ACK, "GO is refused")
    expect(client.error(BLOCK_STATUS, 0, 512) == EINVAL, "BLOCK_STATUS without a context is not EINVAL")


@check("errors of structured replies say what was wrong")
def _(s):
    client = s.enter()
    chunk = client.ask(READ, client.size, 512)[-1]
    expect(chunk.get("message"), "no message")


@check("READ tells holes as OFFSET_HOLE")
def _(s):
    client = s.enter()
    client.write(PAGE, noise(4096))
    data, chunks = client.read(0, 4 * PAGE)
    expect(data[PAGE : PAGE + 4096] == noise(4096) and not any(data[2 * PAGE :]), "wrong bytes")
    expect(any(chunk["type"] == OFFSET_HOLE for chunk in chunks), "zeroes are sent as data")


@check("DF: one content chunk")
def _(s):
    client = s.enter()
    needs(client, SEND_DF, "DF")
    client.write(20 * MIB, noise(4096))
    data, chunks = client.read(20 * MIB - PAGE, 4 * PAGE, DF)
    expect(sum(chunk["type"] in (OFFSET_DATA, OFFSET_HOLE) for chunk in chunks) == 1, f"{len(chunks)} chunks")
    expect(data[PAGE : PAGE + 4096] == noise(4096), "wrong bytes")


@check("metadata contexts: LIST has base:allocation, SET selects it, BLOCK_STATUS covers the range")
def _(s):
    client = s.connect()
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
    replies = client.option("LIST_META_CONTEXT", meta_data(s.target.name, []))
    expect(any(data[4:] == b"base:allocation" for kind, data in replies if kind == META_CONTEXT), "not listed")
    client = s.enter(contexts=["base:allocation"])
    chunk = client.ask(BLOCK_STATUS, 0, MIB)[0]
    expect(chunk["type"] == STATUS, f"error {chunk['error']}")
    lengths = struct.unpack(f">{(len(chunk['data']) - 4) // 4}I", chunk["data"][4:])[::2]
    expect(sum(lengths) > 0 and all(lengths), "an extent of nothing")
    expect(len(client.ask(BLOCK_STATUS, 0, MIB, REQ_ONE)[0]["data"]) == 12, "REQ_ONE: more than one extent")


@check("a failed SET_META_CONTEXT clears earlier ones (rule 6)")
def _(s):
    client = s.connect()
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
    expect(client.set_context(s.target.name, "base:allocation"), "no metadata context")
    client.option("SET_META_CONTEXT", struct.pack(">I", 1 << 20))
    expect(client.go(s.target.name)[-1][0] == ACK, "GO is refused")
    expect(client.error(BLOCK_STATUS, 0, 512) == EINVAL, "the old one is still there")


@check("several contexts at once, among them how deep data lies: a chunk for each")
def _(s):
    client = s.enter(contexts=["base:allocation", "qemu:allocation-depth"])
    chunks = client.ask(BLOCK_STATUS, 0, MIB)
    found = sorted(struct.unpack(">I", chunk["data"][:4])[0] for chunk in chunks if chunk["type"] == STATUS)
    expect(found == sorted(client.ids.values()), f"chunks for {found} of {client.ids}")


@check("contexts of its own: LIST has them by their namespace, and atoll:depth and atoll:changed-since:ID answer")
def _(s):
    since = f"atoll:changed-since:{s.target.snapshot or untried('no snapshot here')}"
    client = s.connect()
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
    replies = client.option("LIST_META_CONTEXT", meta_data(s.target.name, ["atoll:"]))
    listed = {data[4:].decode() for kind, data in replies if kind == META_CONTEXT}
    expect({"atoll:depth", since} <= listed and all(name.startswith("atoll:") for name in listed), f"LIST has {listed}")
    client = s.enter(contexts=["atoll:depth", since])
    expect(client.write(101 * MIB, noise(4096)) == 0, "WRITE fails")
    chunks = client.ask(BLOCK_STATUS, 101 * MIB, 4096, REQ_ONE)
    found = {number: state for number, _, state in (struct.unpack(">III", chunk["data"]) for chunk in chunks if chunk["type"])}
    expect(found == {client.ids["atoll:depth"]: 1, client.ids[since]: 1}, f"{found} for {client.ids}")


@check("changed blocks since a snapshot, as qemu:dirty-bitmap:ID")
def _(s):
    context = f"qemu:dirty-bitmap:{s.target.snapshot or untried('no snapshot here')}"
    client = s.enter(contexts=[context])
    expect(client.write(100 * MIB, noise(4096)) == 0, "WRITE fails")
    for offset, state in ((100 * MIB, 1), (100 * MIB + 4096, 0)):
        found = struct.unpack(">II", client.ask(BLOCK_STATUS, offset, 4096, REQ_ONE)[0]["data"][4:])
        expect(found == (4096, state), f"(length, state) at {offset} is {found}")


@check("contexts bind to the export's name (rule 6)")
def _(s):
    address, name = s.target.read_only or untried("no second export")
    if address != s.target.address or name == s.target.name:
        untried("no second export at the same address")
    client = s.connect()
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies")
    expect(client.set_context(name, "base:allocation"), "no metadata context")
    expect(client.go(s.target.name)[-1][0] == ACK, "GO is refused")
    expect(client.error(BLOCK_STATUS, 0, 512) == EINVAL, "another export's context is in force")


@check("EXTENDED_HEADERS: chunks of 32 bytes with the request's offset, for every command")
def _(s):
    client = s.enter("extended")
    expect(client.write(PAGE, noise(512)) == 0, "WRITE fails")
    for command, length in ((READ, 512), (FLUSH, 0), (TRIM, 512), (WRITE_ZEROES, 512), (CACHE, 512)):
        offset = 0 if command == FLUSH else 2 * PAGE
        for chunk in client.ask(command, offset, length):
            expect(chunk["form"] == "extended" and chunk["at"] == offset and not chunk["error"], f"command {command}: {chunk}")


@check("EXTENDED_HEADERS: after it STRUCTURED_REPLY is ERR_EXT_HEADER_REQD; data is ERR_INVALID")
def _(s):
    client = s.connect()
    is_error(client.option("EXTENDED_HEADERS", b"1"), "INVALID")
    expect(client.negotiate("STRUCTURED_REPLY") and client.negotiate("EXTENDED_HEADERS"), "not after structured replies")
    is_error(client.option("STRUCTURED_REPLY"), "EXT_HEADER_REQD")


@check("EXTENDED_HEADERS: a second one is ERR_INVALID, and the first stays in force")
def _(s):
    client = s.connect()
    expect(client.negotiate("EXTENDED_HEADERS"), "no extended headers")
    is_error(client.option("EXTENDED_HEADERS"), "INVALID")
    expect(client.go(s.target.name)[-1][0] == ACK, "GO is refused")
    expect(client.ask(READ, 0, 512)[-1]["form"] == "extended", "READ is answered in another form")


@check("EXTENDED_HEADERS: with and without STRUCTURED_REPLY before it, and contexts before or after it")
def _(s):
    for options in (("E", "M"), ("S", "E", "M"), ("S", "M", "E", "M")):
        client = s.connect()
        for option in options:
            if option == "M":
                ids = client.set_context(s.target.name, "base:allocation")
                expect(list(ids) == ["base:allocation"], f"{options}: the context is not selected")
            else:
                name = {"S": "STRUCTURED_REPLY", "E": "EXTENDED_HEADERS"}[option]
                expect(client.negotiate(name), f"{options}: {name} is refused")
        expect(client.go(s.target.name)[-1][0] == ACK, f"{options}: GO is refused")
        chunk = client.ask(BLOCK_STATUS, 0, MIB)[0]
        expect(chunk["type"] == STATUS_EXT, f"{options}: error {chunk['error']}, chunk type {chunk['type']}")
        expect(struct.unpack(">I", chunk["data"][:4])[0] == ids["base:allocation"], f"{options}: another context's ID")


@check("BLOCK_STATUS_PAYLOAD is offered by INFO and by GO with extended headers, and by neither with structured replies")
def _(s):
    def offered(client, option):
        expect(client.go(s.target.name, option=option)[-1][0] == ACK, f"{option} is refused")
        return client.flags & BLOCK_STATUS_PAYLOAD != 0

    for form in ("EXTENDED_HEADERS", "STRUCTURED_REPLY"):
        client = s.connect()
        expect(client.negotiate(form), f"{form} is refused")
        # After INFO a client may still select contexts; GO without any has no use for the flag.
        answers = [offered(client, "INFO")]
        client.set_context(s.target.name, "base:allocation")
        answers += [offered(client, "INFO"), offered(client, "GO")]
        expect(answers == [form == "EXTENDED_HEADERS"] * 3, f"{form}: INFO without a context, INFO and GO with one: {answers}")


@check("BLOCK_STATUS of an empty disk of 8 TiB: holes that cover it, in at most 16 requests of 64 bits")
def _(s):
    address, name, size = s.target.huge or untried("no disk of 8 TiB here")
    client = s.connect(address)
    expect(client.negotiate("EXTENDED_HEADERS"), "no extended headers")
    expect(client.set_context(name, "base:allocation"), "no metadata context")
    expect(client.go(name)[-1][0] == ACK and client.size == size, "GO is refused, or the size is another")
    at = requests = 0
    while at < size:
        requests += 1
        expect(requests <= 16, f"{at >> 30} GiB after 16 requests")
        chunk = client.ask(BLOCK_STATUS, at, size - at)[0]
        expect(chunk["type"] == STATUS_EXT, f"error {chunk['error']}")
        for length, state in struct.iter_unpack(">QQ", chunk["data"][8:]):
            expect(length > 0 and state == 3, f"an extent of {length} bytes at {at} with state {state}")
            at += length


@check("64-bit lengths: the whole export at once, and none wraps around (rule 9)")
def _(s):
    client = s.enter("extended", ["base:allocation"])
    for command in (CACHE, TRIM, WRITE_ZEROES):
        expect(client.error(command, 0, client.size) == 0, f"command {command} fails")
        expect(client.error(command, 1, (1 << 64) - 1) in (EINVAL, ENOSPC), f"command {command} wraps around")
    expect(client.alive(), "the connection is lost")


@check("BLOCK_STATUS_EXT, and its payload filters contexts; unknown and repeated ids are EINVAL")
def _(s):
    client = s.enter("extended", ["base:allocation"])
    needs(client, BLOCK_STATUS_PAYLOAD, "the payload")
    context = client.ids["base:allocation"]
    plain = client.ask(BLOCK_STATUS, 0, client.size)
    payload = struct.pack(">QI", client.size, context)
    filtered = client.ask(BLOCK_STATUS, 0, len(payload), PAYLOAD_LEN, payload)
    expect([c["type"] for c in plain] == [STATUS_EXT] and plain[0]["data"] == filtered[0]["data"], "they differ")
    number, count = struct.unpack(">II", plain[0]["data"][:8])
    expect(number == context and len(plain[0]["data"]) == 8 + 16 * count, "a count that is wrong")
    for bad in (struct.pack(">QI", 512, context + 99), struct.pack(">QII", 512, context, context), b"123"):
        expect(client.error(BLOCK_STATUS, 0, len(bad), PAYLOAD_LEN, bad) == EINVAL, "a bad filter is accepted")


@check("filters of several contexts: exactly those that are named, in any order; a filter of none is EINVAL")
def _(s):
    client = s.enter("extended", ["base:allocation", "qemu:allocation-depth"])
    needs(client, BLOCK_STATUS_PAYLOAD, "the payload")
    expect(client.write(150 * MIB, noise(4096)) == 0, "WRITE fails")
    ids = sorted(client.ids.values())
    plain = {chunk["data"][:4]: chunk["data"] for chunk in client.ask(BLOCK_STATUS, 150 * MIB, 4 * MIB)}
    expect(len(plain) == 2, f"{len(plain)} chunks without a filter")
    for chosen in (ids, ids[::-1], ids[:1], ids[1:]):
        payload = struct.pack(f">Q{len(chosen)}I", 4 * MIB, *chosen)
        chunks = client.ask(BLOCK_STATUS, 150 * MIB, len(payload), PAYLOAD_LEN, payload)
        found = {chunk["data"][:4]: chunk["data"] for chunk in chunks if chunk["type"] == STATUS_EXT}
        wanted = {key: data for key, data in plain.items() if struct.unpack(">I", key)[0] in chosen}
        expect(found == wanted, f"the filter {chosen} is answered with {sorted(found)}")
    empty = struct.pack(">Q", 4 * MIB)
    expect(client.error(BLOCK_STATUS, 150 * MIB, len(empty), PAYLOAD_LEN, empty) == EINVAL, "a filter of none is not EINVAL")
    expect(client.alive(), "the connection is lost")


@check("PAYLOAD_LEN: WRITE has it; on others the payload is read past and EINVAL")
def _(s):
    client = s.enter("extended")
    for command in (READ, TRIM, FLUSH, 77):
        expect(client.error(command, 0, 70_000, PAYLOAD_LEN, bytes(70_000)) == EINVAL, f"command {command}")
    expect(client.alive(), "the connection is lost")
