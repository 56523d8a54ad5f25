"""A service manager in small: opens listening sockets, and passes them to a program by the rules of sd_listen_fds(3).

pass_sockets.py [--times N] [--pid P] NAME=ADDRESS... -- PROGRAM ARGUMENTS...

ADDRESS is HOST:PORT, unix:PATH, or file:PATH (no socket at all). The first line it prints is a JSON list of the addresses, with the
real ports. The program is run N times with the same sockets, which outlive it: when it has ended, `ended STATUS` is printed, and the
next run waits for a line on standard input. All names empty: no
LISTEN_FDNAMES. P is what LISTEN_PID says, instead of the program's process.
"""

import json
import os
import socket
import sys

FIRST = 3


def listener(address):
    if address.startswith("file:"):
        return os.open(address[5:], os.O_RDONLY), address
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        sock.bind(address[5:])
        os.umask(old)
    else:
        host, port = address.rsplit(":", 1)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((host, int(port)))
        address = "%s:%d" % sock.getsockname()
    sock.listen(64)
    return sock.detach(), address


def main(args):
    times, pid, passed = 1, None, []
    while args[0] != "--":
        arg = args.pop(0)
        if arg == "--times":
            times = int(args.pop(0))
        elif arg == "--pid":
            pid = args.pop(0)
        else:
            name, address = arg.split("=", 1)
            passed.append((name, *listener(address)))
    program = args[1:]
    print(json.dumps([address for _, _, address in passed]), flush=True)
    # Away from the places where the program wants them.
    kept = [os.dup2(fd, 100 + at) for at, (_, fd, _) in enumerate(passed)]
    status = 0
    for turn in range(times):
        if turn > 0:
            sys.stdin.readline()
        child = os.fork()
        if child == 0:
            for at, fd in enumerate(kept):
                os.dup2(fd, FIRST + at, inheritable=True)
            os.closerange(FIRST + len(kept), 200)
            os.environ["LISTEN_PID"] = pid or str(os.getpid())
            os.environ["LISTEN_FDS"] = str(len(kept))
            if any(name for name, _, _ in passed):
                os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in passed)
            os.execvp(program[0], program)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("ended %d" % status, flush=True)
    return status


sys.exit(main(sys.argv[1:]))
