"""The servers to check, each started for itself in a scratch folder: on a unix socket where it can, on TCP, read-only, and
with TLS."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60
STOP_LIMIT_S = 20
PATIENCE_S = 10.0
DISK_BYTES = 256 << 20
HUGE_BYTES = 8 << 40  # less than the largest file of ext4
# The label of a server of the Debian 13 tree begins with this.
NEWEST = "newest:"


class Target:
    """What a server offers to the checks.

    `address` and `name`: a writable export; an address is the path of a unix socket or (host, port).
    `tcp`: where an option's round trip is measured. `read_only`: (address, name). `unlisted`: (address, name) where LIST is refused.
    `huge`: (address, name, bytes) of an empty disk of HUGE_BYTES. `title`: the program with its version.
    `command(PROGRAM, ...)`: what runs it, for servers of the Debian 13 tree.
    `tls`: (address, name, folder of the certificates). `tls_optional`: address of the same where TLS is for those who ask.
    `tls_verified`: (address, name, folder) where clients need a certificate of the CA. `capped`: (address, most connections).
    `snapshot`: the id of a snapshot of the export. `grow()`: makes the export larger. `any_name`: every name is this export.
    `patience_s`: so long an answer, or an end that must come, is waited for.
    """

    def __init__(self, label, address=None, name="disk", tcp=None):
        self.label, self.address, self.name, self.tcp = label, address, name, tcp
        self.title = label.split("?")[0][-24:]
        self.runner = [str(ROOT / "scripts/newest-clients")] if label.startswith(NEWEST) else []
        self.unlisted = self.huge = None
        self.read_only = self.tls = self.tls_optional = self.snapshot = self.grow = self.directory = None
        self.tls_verified = self.capped = self.said_at_shutdown = None
        self.any_name = False
        self.patience_s = PATIENCE_S
        self.processes = []

    def command(self, *command):
        return [*self.runner, *command]

    def add_version(self, *command):
        """Completes the title by the version that the program prints."""
        # The first call may have to make the Debian 13 tree.
        printed = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        version = re.search(r"\d+\.\d+", printed.stdout + printed.stderr)
        if not version:
            raise RuntimeError(f"{' '.join(command)} prints no version:\n{printed.stdout}{printed.stderr}")
        self.title = f"{command[0]} {version[0]}"

    def run(self, *command):
        with open(Path(self.directory) / "log", "ab") as log:
            self.processes.append(subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def log(self):
        return (Path(self.directory) / "log").read_text(errors="replace")[-20_000:]

    def ended(self):
        return any(process.poll() is not None for process in self.processes)

    def wait_for(self, *addresses, logged=""):
        deadline = time.monotonic() + START_LIMIT_S
        for ready in [*(lambda at=at: answers(at) for at in addresses), lambda: re.search(logged, self.log())]:
            while not ready():
                if self.ended() or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.label} did not start:\n{self.log()[-2000:]}")
                time.sleep(0.02)

    def terminate(self):
        for process in self.processes:
            process.terminate()

    def wait(self):
        """The exit status of the process with the writable export, which is the first; 0 means that it ended well."""
        for process in self.processes:
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return self.processes[0].returncode

    def close(self):
        """Ends the processes and removes the folder. A second call does nothing."""
        self.terminate()
        if self.processes:
            self.wait()
        if self.directory:
            shutil.rmtree(self.directory)
            self.directory = None


class Daemon:
    """A process that is not our child, with what is needed of Popen. Its exit status is not told: 0 stands for any."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            self.returncode = 0
        return self.returncode

    def wait(self, limit_s=STOP_LIMIT_S):
        deadline = time.monotonic() + limit_s
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("daemon", limit_s)
            time.sleep(0.02)
        return self.returncode

    def send(self, signal_number):
        if self.poll() is None:
            os.kill(self.pid, signal_number)

    def terminate(self):
        self.send(signal.SIGTERM)

    def kill(self):
        self.send(signal.SIGKILL)


def answers(address):
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def local():
    return ("127.0.0.1", free_port())


def fill(target):
    """A certificate for 127.0.0.1, as the files that qemu-nbd and nbdkit look for, and a disk that can grow."""
    folder = Path(target.directory)
    extensions = "subjectAltName=IP:127.0.0.1\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
    (folder / "extensions").write_text(extensions)
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {key} -keyout ca-key.pem -out ca-cert.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign",
        f"req {key} -keyout server-key.pem -out server.csr -subj /CN=127.0.0.1",
        "x509 -req -in server.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out server-cert.pem"
        " -extfile extensions",
        f"req -x509 {key} -keyout stranger-key.pem -out stranger-cert.pem -days 2 -subj /CN=stranger",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True, timeout=60)
    with open(folder / "disk", "wb") as disk:
        disk.truncate(DISK_BYTES)
    with open(folder / "huge", "wb") as disk:
        disk.truncate(HUGE_BYTES)
    target.address = str(folder / "nbd.sock")
    target.grow = lambda: (folder / "disk").open("r+b").truncate(2 * DISK_BYTES)


def qemu_nbd(target):
    disk, secure = target.directory + "/disk", local()
    target.add_version("qemu-nbd", "--version")
    target.tcp = local()
    common = ["qemu-nbd", "--format=raw", "--persistent", "--shared=64", "--export-name=disk", "--discard=unmap"]
    common += ["--allocation-depth"]
    target.run(*common, f"--socket={target.address}", disk)
    huge = target.directory + "/huge.sock"
    target.run(*common, f"--socket={huge}", target.directory + "/huge")
    target.run(*common, "--bind=127.0.0.1", f"--port={target.tcp[1]}", "--read-only", disk)
    credentials = f"tls-creds-x509,id=tls0,endpoint=server,verify-peer=no,dir={target.directory}"
    Path(disk + "-tls").write_bytes(bytes(1 << 20))
    verified = local()
    for address, verify in ((secure, "no"), (verified, "yes")):
        object = f"--object={credentials.replace('verify-peer=no', 'verify-peer=' + verify)}"
        target.run(*common, "--bind=127.0.0.1", f"--port={address[1]}", object, "--tls-creds=tls0", disk + "-tls")
    target.wait_for(target.address, target.tcp, secure, verified, huge)
    target.huge = (huge, "disk", HUGE_BYTES)
    target.tls_verified = (verified, "disk", target.directory)
    target.read_only = (target.tcp, "disk")
    target.tls = (secure, "disk", target.directory)


def nbdkit(target):
    disk, secure = target.directory + "/disk", local()
    target.add_version("nbdkit", "--version")
    target.tcp, target.any_name = local(), True
    common = ["nbdkit", "--foreground", "--ipaddr=127.0.0.1"]
    target.run("nbdkit", "--foreground", f"--unix={target.address}", "file", disk)
    huge = target.directory + "/huge.sock"
    target.run("nbdkit", "--foreground", f"--unix={huge}", "file", target.directory + "/huge")
    target.run(*common, f"--port={target.tcp[1]}", "--readonly", "file", disk)
    target.tls_optional, verified = local(), local()
    for address, tls in ((secure, ["require"]), (target.tls_optional, ["on"]), (verified, ["require", "--tls-verify-peer"])):
        secured = [f"--port={address[1]}", f"--tls={tls[0]}", *tls[1:], f"--tls-certificates={target.directory}"]
        target.run(*common, *secured, "memory", "1M")
    target.wait_for(target.address, target.tcp, secure, target.tls_optional, verified, huge)
    target.huge = (huge, "disk", HUGE_BYTES)
    target.tls_verified = (verified, "disk", target.directory)
    target.read_only = (target.tcp, "disk")
    target.tls = (secure, "disk", target.directory)


def nbd_server(target):
    """On TCP alone. In the foreground it would serve one connection, so it is let go to the background."""
    folder, secure, unlisted = target.directory, local(), local()
    target.add_version("nbd-server", "-V")
    target.address = target.tcp = local()
    files = [f"certfile = {folder}/server-cert.pem", f"keyfile = {folder}/server-key.pem"]
    files += [f"cacertfile = {folder}/ca-cert.pem"]
    listed = "allowlist = true"
    for address, more in ((target.tcp, [listed]), (secure, [listed, *files, "force_tls = true"]), (unlisted, [])):
        config = ["[generic]", "listenaddr = 127.0.0.1", f"port = {address[1]}", *more]
        config += ["[disk]", f"exportname = {folder}/disk", "flush = true", "fua = true", "trim = true"]
        config += ["[ro]", f"exportname = {folder}/disk", "readonly = true"]
        Path(folder, f"config-{address[1]}").write_text("\n".join(config) + "\n")
        target.run("nbd-server", "-C", f"{folder}/config-{address[1]}", "-p", f"{folder}/pid-{address[1]}")
        if target.processes.pop().wait(START_LIMIT_S) != 0:
            raise RuntimeError(f"nbd-server did not start:\n{target.log()[-2000:]}")
        target.wait_for(address)
        target.processes.append(Daemon(int(Path(folder, f"pid-{address[1]}").read_text())))
    target.tls_verified = (secure, "disk", folder)
    target.unlisted = (unlisted, "disk")
    target.read_only = (target.tcp, "ro")
    target.tls = (secure, "disk", folder)


class Api:
    """The few calls of the volume API that set a volume up."""

    def __init__(self, http, data):
        script = Path(data, "openrc", "admin.sh").read_text()
        login = {name: value.strip("'\"") for name, value in re.findall(r"^export (OS_\w+)=(.*)$", script, re.M)}
        domain = {"id": "default"}
        user = {"name": login["OS_USERNAME"], "domain": domain, "password": login["OS_PASSWORD"]}
        scope = {"project": {"name": login["OS_PROJECT_NAME"], "domain": domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.headers = {"content-type": "application/json", "openstack-api-version": "volume 3.54"}
        headers, body = self.call(login["OS_AUTH_URL"] + "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.headers["x-auth-token"] = headers["x-subject-token"]
        self.base = f"http://{http}/volume/v3/{body['token']['project']['id']}"

    def call(self, url, body=None):
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(urllib.request.Request(url, data, self.headers), timeout=30) as answer:
            text = answer.read()
            return answer.headers, json.loads(text) if text else {}

    def create(self, kind, fields):
        made = self.call(f"{self.base}/{kind}s", {kind: fields})[1][kind]
        self.until(kind, made["id"], lambda now: now["status"] == "available")
        return made["id"]

    def until(self, kind, ident, holds):
        deadline = time.monotonic() + 30
        while not holds(now := self.call(f"{self.base}/{kind}s/{ident}")[1][kind]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the {kind} is {now}")
            time.sleep(0.05)

    def attach(self, volume):
        """The name of the export at the tenants' door."""
        connector = {"host": "test", "initiator": "test", "platform": "x86_64", "os_type": "linux"}
        attachment = {"volume_uuid": volume, "instance_uuid": None, "connector": connector, "mode": "rw"}
        made = self.call(f"{self.base}/attachments", {"attachment": attachment})[1]["attachment"]
        return urllib.parse.urlsplit(made["connection_info"]["uri"]).path[1:]

    def grow(self, volume):
        self.call(f"{self.base}/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
        self.until("volume", volume, lambda now: now["size"] == 2)


def atoll(target):
    http, secure, folder = local(), local(), target.directory
    target.tcp, target.tls_optional = local(), local()
    doors = ["--http", "127.0.0.1:%d" % http[1], "--nbd", f"unix:{target.address}", "--nbd", "127.0.0.1:%d" % target.tcp[1]]
    doors += ["--nbd", "127.0.0.1:%d?tls=required" % secure[1]]
    doors += ["--nbd", "127.0.0.1:%d?tls=opportunistic" % target.tls_optional[1]]
    doors += ["--nbd-tls-cert", folder + "/server-cert.pem", "--nbd-tls-key", folder + "/server-key.pem"]
    target.run("node", str(ROOT / "dist/cli/main.js"), "serve", "--log", "json", "--data", folder + "/data", *doors)
    target.wait_for(http, target.address, target.tcp, secure, target.tls_optional, logged='"msg":"serving"')
    api = Api("127.0.0.1:%d" % http[1], folder + "/data")
    target.name = api.create("volume", {"size": 1})
    target.huge = (target.address, api.create("volume", {"size": HUGE_BYTES >> 30}), HUGE_BYTES)
    target.snapshot = api.create("snapshot", {"volume_id": target.name, "force": True})
    target.read_only = (target.address, target.snapshot)
    target.tls = (secure, api.attach(api.create("volume", {"size": 1})), folder)
    target.unlisted = (target.tcp, target.tls[1])
    target.grow = lambda: api.grow(target.name)

    # A second one, with what would be in the way of the other checks: a limit on connections, and certificates of clients.
    http, verified, capped = local(), local(), folder + "/capped.sock"
    doors = ["--http", "127.0.0.1:%d" % http[1], "--nbd", "unix:" + capped, "--nbd", "127.0.0.1:%d?tls=required" % verified[1]]
    doors += ["--nbd-tls-cert", folder + "/server-cert.pem", "--nbd-tls-key", folder + "/server-key.pem"]
    doors += ["--nbd-tls-ca", folder + "/ca-cert.pem", "--nbd-tls-verify-peer", "--nbd-max-connections", "8"]
    target.run("node", str(ROOT / "dist/cli/main.js"), "serve", "--log", "json", "--data", folder + "/data-2", *doors)
    target.wait_for(http, capped, verified, logged='"data":"[^"]*/data-2".*"msg":"serving"')
    api_2 = Api("127.0.0.1:%d" % http[1], folder + "/data-2")
    target.tls_verified = (verified, api_2.attach(api_2.create("volume", {"size": 1})), folder)
    target.capped = (capped, 8)


def at_uri(uri):
    """nbd://HOST[:PORT]/NAME or nbd+unix:///NAME?socket=PATH of a server that runs already."""
    parts = urllib.parse.urlsplit(uri)
    name = urllib.parse.unquote(parts.path[1:])
    if parts.scheme == "nbd+unix":
        target = Target(uri, urllib.parse.parse_qs(parts.query)["socket"][0], name)
    elif parts.scheme == "nbd":
        tcp = (socket.gethostbyname(parts.hostname), parts.port or 10809)
        target = Target(uri, tcp, name, tcp)
    else:
        raise RuntimeError(f"{uri} is neither nbd:// nor nbd+unix://, nor one of {', '.join(STARTERS)}")
    return target


STARTERS = {"atoll": atoll, "qemu-nbd": qemu_nbd, "nbdkit": nbdkit, "nbd-server": nbd_server}
STARTERS |= {NEWEST + name: start for name, start in STARTERS.items() if start is not atoll}


def start(what):
    if what not in STARTERS:
        return at_uri(what)
    target = Target(what)
    target.directory = tempfile.mkdtemp(prefix="atoll-conformance-", dir="/var/tmp")
    try:
        fill(target)
        STARTERS[what](target)
    except BaseException:
        target.close()
        raise
    return target
