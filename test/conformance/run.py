"""Runs the checks against servers and prints one table, a column for each."""

import argparse
import json
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

# The order of the checks is the order of these.
import check_handshake  # noqa: F401
import check_replies  # noqa: F401
import check_commands  # noqa: F401
import check_payloads  # noqa: F401
import check_endings  # noqa: F401
import servers
from suite import CHECKS, No, Part, Session, Untried
from wire import Client, Closed, round_trip_ms

# What a check raises: the verdict. Anything else is a fault of the suite.
VERDICTS = {Part: "part", No: "no", Untried: "-", Closed: "no", AssertionError: "no", TimeoutError: "no", OSError: "no"}

# Set when the run is to end early: a worker starts no other check, and no other server.
STOPPING = threading.Event()


def stop(signal_number, _frame):
    """Ends the run by an exception, so that servers and folders go. Another signal does not interrupt that."""
    signal.signal(signal_number, signal.SIG_IGN)
    sys.exit(128 + signal_number)


def verdict(function, target):
    session = Session(target)
    try:
        function(session)
        return "yes", ""
    except tuple(VERDICTS) as why:
        how = next(VERDICTS[kind] for kind in type(why).__mro__ if kind in VERDICTS)
        return how, "the server closes the connection" if isinstance(why, Closed) else str(why) or type(why).__name__
    finally:
        session.close()


def started(label):
    target = servers.start(label)
    try:
        target.idle = (Client(target.address).greet(), time.monotonic())
    except BaseException:
        target.close()
        raise
    return target


def column(label, target):
    """[(verdict, reason)], one for each check. A server that a check brings down is started anew for the next."""
    found = []
    try:
        for title, function in CHECKS:
            if STOPPING.is_set():
                break
            if target is None:
                target = started(label)
            how, why = verdict(function, target)
            # The sockets of a process that ends are gone a moment before it is.
            down = target.ended() or (target.processes and not servers.answers(target.address))
            if down and not title.startswith("SIGTERM"):
                how, why = "no", f"the server ends ({why or 'after the answer'})"
                target.close()
                target = None
            found.append((how, why))
    finally:
        if target:
            target.close()
    return found


def default_labels():
    """Atoll, then each other server in both generations; of those of this machine, the ones that are installed."""
    here = [name for name in servers.STARTERS if name == "atoll" or (servers.NEWEST not in name and shutil.which(name))]
    newest = [name for name in servers.STARTERS if servers.NEWEST in name]
    return sorted(here + newest, key=lambda label: list(servers.STARTERS).index(label.removeprefix(servers.NEWEST)))


def columns_of(labels):
    """All servers at the same time, but for the round trips. One that does not start is a column of its own."""
    columns, targets = [], []
    try:
        start_all(labels, columns, targets)
        with ThreadPoolExecutor(len(labels)) as pool:
            try:
                running = [target and pool.submit(column, label, target) for label, target in zip(labels, targets)]
                for one, future in zip(columns, running):
                    one["checks"] = future.result() if future else [("-", "")] * len(CHECKS)
            except BaseException:
                STOPPING.set()
                # A check that waits for an answer sees the end of its server.
                for target in filter(None, targets):
                    target.terminate()
                raise
    finally:
        for target in filter(None, targets):
            target.close()
    return columns


def start_all(labels, columns, targets):
    """Appends a column and a target for each label; the target is None when it does not start."""
    for label in labels:
        one = {"server": label, "title": label, "checks": [], "tcp_option_ms": None, "error": ""}
        columns.append(one)
        targets.append(None)
        try:
            target = targets[-1] = started(label)
            one["title"] = target.title
            one["tcp_option_ms"] = round_trip_ms(target.tcp) if target.tcp else None
        except (RuntimeError, OSError, Closed, AssertionError) as why:
            one["error"] = str(why) or type(why).__name__
            if targets[-1]:
                targets[-1].close()
                targets[-1] = None


def table(columns):
    names = [one["title"] for one in columns]
    rows = [(title, [one["checks"][i][0] for one in columns]) for i, (title, _) in enumerate(CHECKS)]
    times = [f"{one['tcp_option_ms']:.3f} ms" if one["tcp_option_ms"] else "-" for one in columns]
    rows.append(("an option and its answer over TCP, median", times))
    lines = [f"| check | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in rows]
    for one in columns:
        told = [(title, *one["checks"][i]) for i, (title, _) in enumerate(CHECKS)]
        reasons = [f"- {title}: {how}: {why}" for title, how, why in told if how != "yes" and why]
        if one["error"]:
            reasons = [f"- it could not be tried: {one['error']}"]
        if reasons:
            lines += ["", f"{one['title']}:", "", *reasons]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="scripts/nbd-conformance", description=__doc__)
    what = "a server to start (atoll, qemu-nbd, nbdkit, nbd-server, the last three also as newest:NAME from the Debian 13 tree)"
    what += " or the URI of one that runs, which is written to (default: all that can be started)"
    parser.add_argument("--server", action="append", metavar="SERVER", help=what)
    parser.add_argument("--json", action="store_true", help="titles, columns and the table as JSON")
    options = parser.parse_args()
    labels = options.server or default_labels()
    signal.signal(signal.SIGTERM, stop)
    columns = columns_of(labels)
    if options.json:
        json.dump({"titles": [title for title, _ in CHECKS], "columns": columns, "table": table(columns)}, sys.stdout)
    else:
        print(table(columns))
    return any(one["error"] or any(how in ("no", "part") for how, _ in one["checks"]) for one in columns[:1])


if __name__ == "__main__":
    sys.exit(main())
