"""Commands in transmission: their answers, errors, flags and limits."""

from suite import *  # noqa: F403


@check("READ and WRITE of any offset and length, simple replies")
def _(s):
    client = s.enter("simple")
    for offset, length in ((0, 4096), (12_345, 70_001), (client.size - 512, 512)):
        if client.write(offset, noise(length)) != 0:
            raise Part(f"{length} bytes at {offset} are refused")
        expect(client.read(offset, length)[0] == noise(length), "other bytes come back")


@check("FUA on every command once offered (rule 4)")
def _(s):
    client = s.enter("simple")
    needs(client, SEND_FUA, "FUA")
    expect(client.write(0, noise(512), FUA) == 0, "WRITE")
    commands = [(READ, 512, True), (FLUSH, 0, client.flags & SEND_FLUSH), (TRIM, 512, client.flags & SEND_TRIM)]
    commands += [(WRITE_ZEROES, 512, client.flags & SEND_WRITE_ZEROES), (CACHE, 512, client.flags & SEND_CACHE)]
    for command, length, offered in commands:
        expect(not offered or client.error(command, 0, length, FUA) == 0, f"command {command}")


@check("flags that were not offered are EINVAL, and the connection lives (rule 4)")
def _(s):
    client = s.enter("simple")
    for command, flags in ((READ, DF), (READ, 1 << 14), (WRITE_ZEROES, 1 << 13), (FLUSH, REQ_ONE)):
        length = 0 if command == FLUSH else 512
        expect(client.error(command, 0, length, flags) == EINVAL, f"flags {flags:#x} on command {command} are not EINVAL")
    expect(client.alive(), "the connection is lost")


@check("unknown commands are EINVAL")
def _(s):
    client = s.enter("simple")
    expect(client.error(99) == EINVAL and client.alive(), "not EINVAL, or the connection is lost")


@check("TRIM and WRITE_ZEROES: zeros come back")
def _(s):
    client = s.enter("simple")
    needs(client, SEND_TRIM, "TRIM")
    needs(client, SEND_WRITE_ZEROES, "WRITE_ZEROES")
    for command, flags in ((TRIM, 0), (WRITE_ZEROES, 0), (WRITE_ZEROES, NO_HOLE)):
        client.write(0, noise(2 * PAGE))
        expect(client.error(command, 0, PAGE, flags) == 0, f"command {command} fails")
        data = client.read(0, 2 * PAGE)[0]
        expect(command == TRIM or not any(data[:PAGE]), "not zeros")
        expect(data[PAGE:] == noise(2 * PAGE)[PAGE:], "a neighbour's bytes are lost")


@check("FAST_ZERO: fast, or ENOTSUP and nothing else (rule 8)")
def _(s):
    client = s.enter("simple")
    needs(client, SEND_FAST_ZERO, "FAST_ZERO")
    expect(client.error(WRITE_ZEROES, 0, PAGE, FAST_ZERO) in (0, ENOTSUP), "another error")
    expect(client.error(WRITE_ZEROES, 0, PAGE, FAST_ZERO | NO_HOLE) in (0, ENOTSUP), "another error with NO_HOLE")


@check("CACHE")
def _(s):
    client = s.enter("simple")
    needs(client, SEND_CACHE, "CACHE")
    expect(client.error(CACHE, 0, MIB) == 0, "it fails")


@check("a FLUSH covers what other connections were answered (rule 5)")
def _(s):
    one, two = s.enter("simple"), s.enter("simple")
    needs(one, CAN_MULTI_CONN, "CAN_MULTI_CONN")
    expect(one.write(PAGE, noise(4096, 5)) == 0 and two.error(FLUSH) == 0, "an error")
    expect(two.read(PAGE, 4096)[0] == noise(4096, 5), "another connection reads old bytes")


@check("past the end: WRITE is ENOSPC, READ EINVAL (rule 9: not by offset + length)")
def _(s):
    client = s.enter("simple")
    errors = [client.error(READ, at, 512) for at in (client.size, client.size - 1, (1 << 64) - 512)]
    expect(errors == [EINVAL] * 3, f"READ: {errors}")
    errors = [client.write(at, bytes(512)) for at in (client.size, client.size - 1, (1 << 64) - 512)]
    expect(client.alive(), "the connection is lost")
    if errors != [ENOSPC] * 3:
        raise Part(f"WRITE: {errors}")


@check("a read-only export: WRITE, TRIM and WRITE_ZEROES are EPERM, and the connection lives")
def _(s):
    client = s.enter("simple", read_only=True)
    expect(client.flags & READ_ONLY, "it does not say so")
    errors = [client.write(0, bytes(5000)), client.error(TRIM, 0, 512), client.error(WRITE_ZEROES, 0, 512)]
    expect(client.alive(), "the connection is lost")
    expect(errors[0] == EPERM, f"WRITE: {errors[0]}")
    if errors != [EPERM] * 3:
        raise Part(f"TRIM, WRITE_ZEROES: {errors[1:]}")


@check("requests of length zero do not disconnect (rule 9)")
def _(s):
    client = s.enter("simple")
    for command in (READ, WRITE, TRIM, WRITE_ZEROES):
        client.error(command, 0, 0)
    expect(client.alive(), "the connection is lost")


@check("READ of 32 and of 64 MiB; one byte more is an error, and the connection lives")
def _(s):
    client = s.enter()
    for size in (32 * MIB, 64 * MIB):
        chunks = client.ask(READ, 0, size)
        if chunks[-1]["error"]:
            raise Part(f"{size // MIB} MiB: error {chunks[-1]['error']}")
    client.error(READ, 0, 64 * MIB + 1)
    expect(client.alive(), "the connection is lost")


@check("an over-long READ is EOVERFLOW with DF, EINVAL without (rule 8)")
def _(s):
    client = s.enter()
    needs(client, SEND_DF, "DF")
    errors = client.error(READ, 0, 128 * MIB), client.error(READ, 0, 128 * MIB, DF)
    expect(errors[0] in (0, EINVAL) and errors[1] in (0, EOVERFLOW), f"{errors}")
    expect(client.alive(), "the connection is lost")


@check("a WRITE over the limit: an error, its payload is read past, and the connection lives")
def _(s):
    client = s.enter("simple")
    error = client.write(0, bytes(64 * MIB + 512))
    expect(error in (0, EINVAL), f"error {error}")
    expect(client.alive(), "the connection is lost")


@check("DISC: everything in flight is answered before the close")
def _(s):
    client = s.enter("simple")
    disconnect = client.packed(DISC)
    asked = client.read_many(200, 4096, disconnect)
    try:
        for _ in range(200):
            asked.pop(client.chunk(4096)["cookie"])
    except Closed:
        raise No(f"{len(asked)} of 200 answers are lost") from None
    expect(client.at_end(), "it stays open")


@check("200 requests at once: each is answered with its own data")
def _(s):
    client = s.enter("simple")
    for i in range(200):
        client.write(i * 4096, bytes([i % 251]) * 4096)
    asked = client.read_many(200, 4096)
    for _ in range(200):
        chunk = client.chunk(4096)
        expect(chunk["data"] == bytes([asked.pop(chunk["cookie"]) % 251]) * 4096, "another's data")


@check("wrong request magic closes that connection alone")
def _(s):
    other, client = s.enter("simple"), s.enter("simple")
    client.send(bytes(64))
    expect(client.at_end(), "it stays open")
    expect(other.alive(), "the other connection is lost too")
