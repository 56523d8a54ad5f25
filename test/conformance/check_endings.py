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
    expect(client.at_end(CLOSES_WITHIN_S), "EXPORT_NAME: it stays open")
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


@check("certificates of clients: none, and one of another authority, get nothing; the right one does")
def _(s):
    address, name, folder = s.target.tls_verified or untried("no listener that verifies clients")
    for files, welcome in (("server", True), (None, False), ("stranger", False)):
        context = ssl.create_default_context(cafile=folder + "/ca-cert.pem")
        context.check_hostname = False
        if files:
            context.load_cert_chain(f"{folder}/{files}-cert.pem", f"{folder}/{files}-key.pem")
        client = s.connect(address)
        try:
            client.start_tls(context)
            # In TLS 1.3 a client is through with the handshake before the server has seen its certificate.
            got = client.go(name)[-1][0] == ACK
        except (ssl.SSLError, Closed):
            got = False
        expect(got == welcome, f"{files or 'none'}: it is {'refused' if welcome else 'let in'}")


@check("connections over the limit are told so by ERR_POLICY, and are welcome when one has left (rule 10)")
def _(s):
    address, limit = s.target.capped or untried("no limit is set here")
    clients = [s.connect(address) for _ in range(limit)]
    for client in clients:
        is_error(client.option(4000), "UNSUP")
    is_error(s.connect(address).option("LIST"), "POLICY")
    clients[0].close()
    deadline = time.monotonic() + s.target.patience_s
    while s.connect(address).option(4000)[-1][0] != ERR["UNSUP"]:
        expect(time.monotonic() < deadline, "nobody is let in any more")


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
    quiet, busy, young = s.enter("simple"), s.enter("simple"), s.connect()
    size = 32 * MIB  # far more than a socket holds: it is certainly in flight
    busy.request(READ, 0, size)
    busy.receive(16)
    s.target.terminate()
    s.target.said_at_shutdown = last_words(young, s.target.patience_s)
    try:
        busy.receive(size)
    except (Closed, TimeoutError):
        raise No("the answer ends in its middle") from None
    expect(busy.at_end(), "a connection whose requests are all answered stays open")
    expect(quiet.at_end(), "an idle connection stays open")
    expect(s.target.wait() == 0, "its exit status is not 0")


def last_words(client, patience_s):
    """What a handshake is answered while the server goes down; it may have answered some options before it knew."""
    deadline = time.monotonic() + patience_s
    try:
        while time.monotonic() < deadline:
            kind = client.option(4000)[-1][0]
            if kind != ERR["UNSUP"]:
                return name_of(kind)
        return "nothing new"
    except (Closed, TimeoutError):
        return "the end of the connection"


@check("SIGTERM: a handshake that goes on is answered ERR_SHUTDOWN (rule 10)")
def _(s):
    said = s.target.said_at_shutdown or untried("it was not ended by the check before")
    expect(said == "SHUTDOWN", said)
