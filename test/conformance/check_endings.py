"""TLS, sizes that change, time limits, and the end of the server: the last check is the last that a server sees."""

import ssl
import time

from suite import *  # noqa: F403

HANDSHAKE_LIMIT_S = 10
OTHER_OPTIONS = ("LIST", "INFO", "GO", "STRUCTURED_REPLY", "LIST_META_CONTEXT", "SET_META_CONTEXT", 4000)


def tls(s):
    address, s.name, folder = s.target.tls or untried("no listener with TLS")
    context = ssl.create_default_context(cafile=folder + "/ca-cert.pem")
    context.check_hostname = False
    # For those that always ask: nbd-server.
    context.load_cert_chain(folder + "/server-cert.pem", folder + "/server-key.pem")
    return address, context


@check("TLS required: TLS_REQD for all but STARTTLS and ABORT; EXPORT_NAME closes (rule 7)")
def _(s):
    address, _ = tls(s)
    client = s.connect(address)
    for option in OTHER_OPTIONS:
        data = export_data(s.name) if option in ("INFO", "GO") else b""
        is_error(client.option(option, data), "TLS_REQD")
    client.send_option("EXPORT_NAME", s.name.encode())
    expect(client.at_end(), "EXPORT_NAME: it stays open")
    client = s.connect(address)
    client.send_option("ABORT")
    expect(client.option_reply()[0] == ACK, "ABORT: no ACK")


@check("STARTTLS: the certificate is right, and reads and writes go through")
def _(s):
    address, context = tls(s)
    client = s.connect(address)
    client.start_tls(context)
    expect(client.go(s.name)[-1][0] == ACK, "GO is refused")
    expect(client.write(0, noise(PAGE)) == 0 and client.read(0, PAGE)[0] == noise(PAGE), "other bytes")


@check("STARTTLS discards what was negotiated before it (rule 6)")
def _(s):
    _, context = tls(s)
    client = s.connect(s.target.tls_optional or untried("no listener with optional TLS"))
    expect(client.negotiate("STRUCTURED_REPLY"), "no structured replies before TLS")
    client.start_tls(context)
    is_error(client.option("SET_META_CONTEXT", meta_data(s.name, ["base:allocation"])), "INVALID")
    expect(client.go(s.name)[-1][0] == ACK, "GO is refused")
    expect(client.ask(READ, 0, 512)[0]["form"] == "simple", "READ is answered by a structured reply")


@check("STARTTLS a second time, or with data, is ERR_INVALID")
def _(s):
    address, context = tls(s)
    client = s.connect(address)
    is_error(client.option("STARTTLS", b"1"), "INVALID")
    client.start_tls(context)
    is_error(client.option("STARTTLS"), "INVALID")
    expect(client.go(s.name)[-1][0] == ACK, "the session is lost")


@check("a client that reconnects sees the new size, without a restart")
def _(s):
    grow = s.target.grow or untried("its disk cannot be grown here")
    before = s.enter("simple").size
    grow()
    client = s.enter("simple")
    expect(client.size > before, f"it is told {client.size}")
    expect(client.write(client.size - 512, noise(512)) == 0, "the new end cannot be written")


@check("a client that leaves in the middle of an answer takes nobody with it")
def _(s):
    other = s.enter("simple")
    for _ in range(20):
        client = s.enter("simple")
        client.read_many(200, 4096)
        client.close()
    expect(other.alive(), "the other connection is lost")
    expect(s.enter("simple").alive(), "nobody can connect")


@check("handshakes time out, in 10 s or so (rule 10)")
def _(s):
    client, since = s.target.idle
    client.socket.settimeout(max(0.1, since + HANDSHAKE_LIMIT_S + s.target.patience_s - time.monotonic()))
    try:
        expect(client.at_end(), "it stays open")
    finally:
        client.close()


@check("SIGTERM: what is in flight is answered, then connections end (rule 10)")
def _(s):
    if not s.target.processes:
        untried("it was not started here")
    quiet, busy = s.enter("simple"), s.enter("simple")
    size = 32 * MIB  # far more than a socket holds: it is certainly in flight
    busy.request(READ, 0, size)
    busy.receive(16)
    s.target.terminate()
    try:
        busy.receive(size)
    except (Closed, TimeoutError):
        raise No("the answer ends in its middle") from None
    expect(busy.at_end(), "a connection whose requests are all answered stays open")
    expect(quiet.at_end(), "an idle connection stays open")
    expect(s.target.wait() == 0, "its exit status is not 0")
