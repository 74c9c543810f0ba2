"""The guardian: one small process per embedded folder that starts its redis-server and stops it after the last user.

It runs by file path, on the standard library alone, and talks to nobody: what it must know, the kernel tells it. Three
lock files in the folder say who is there, and a flock can't lie: it goes with its holder, however the holder ends.

    users.lock     shared: one per user (`embedded.py`). Exclusive: the guardian, once no user is left.
    guardian.lock  exclusive: the guardian. Its file holds the guardian's pid, for people.
    server.lock    exclusive: the server process itself, which inherits it. Free means: no server is left.

**Start.** A user first takes users.lock, then tries guardian.lock. Who gets it starts a guardian and *hands it the
lock*, as an open file: between "none is there" and "one is there" there is no moment in which a second could start.
Of many users that start together one gets the lock; the others wait for the server to answer. A user killed before the
hand-over frees the lock by dying and another one, which tries again while it waits, gets it. A user killed after it
leaves a guardian without users, which is the next case.

**Stop.** A thread here blocks on an exclusive users.lock. Getting it means that nobody is left, and holding it that
nobody can join until we are through: a user that comes now waits for its shared lock. The order of release is what
makes that safe: the server ends, its socket goes, then guardian.lock, and only then, by our exit, users.lock. So a user
that has users.lock finds either no guardian, and starts one, or one that can't leave before the user does.

**The server dies.** It is our child, so we know at once and start it again, with the same log, after a short pause.
Deaths in quick succession are counted: after a few we say so in guardian.log and leave, as a damaged log does not heal
by trying. Users find guardian.lock free, try a bounded number of times, and report the end of the logs.

**We die.** Under Linux the kernel sends the server a SIGTERM then: it flushes its log and ends, with or without users.
Users lose their connection and start a guardian; if all of them were killed too, nothing is left. Elsewhere the server
lives on without us. The next user to come, or the last one to leave, finds guardian.lock free but not server.lock, and
starts a guardian, which asks the server to stop and replaces it if users are there. In both cases a new server must not
meet the old one: they would write one log, and the old one, ending, would remove the new one's socket. So whoever
starts a guardian first moves the socket aside, which keeps new connections off the old server, and the guardian takes
server.lock, which it gets when the old process is gone and not just silent. A server that does not go in time is not
killed, as it isn't our child: we say so and leave.

**Not closed.** Killed guardian and killed users on a system that is not Linux: the server stays until the next user of
the folder. A guardian or a server that is stopped (SIGSTOP) but alive blocks the folder until it goes on. A user that
asks the old server in the instant before its socket is moved finds it alive, and is cut off a moment later; that is
a lost connection like any other. A user that leaves finds out whether it was the last by trying users.lock; of two that
leave at the same moment, one may take the other's try for a user, and not wait for the server's stop. The other does.
The locks hold on one machine: two machines on one network folder see each other's locks, or none, but never each
other's socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

USERS_LOCK, GUARDIAN_LOCK, SERVER_LOCK = "users.lock", "guardian.lock", "server.lock"
SOCKET, LEFTOVER_SOCKET = "redis.sock", "leftover.sock"
SERVER_LOG, GUARDIAN_LOG = "redis.log", "guardian.log"

STOP_TIMEOUT_S = 10.0  # for a server to flush and end after it was told to
KILL_TIMEOUT_S = 5.0  # for the kernel to end it after SIGKILL; only a hanging disk takes that long
STEADY_S = 60.0  # a server that lived this long was in order
MAX_QUICK_DEATHS = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
LOG_BYTES = 1 << 20  # a log longer than this is set aside, once
PR_SET_PDEATHSIG = 1  # linux/prctl.h

LEAVE, CLEAR, DIED = "leave", "clear", "died"

# All paths are relative to the folder, our working directory: no length or character of its path can matter, and a
# folder that was moved or removed is still the right one.
SERVER_OPTIONS = [
    *("--port", "0", "--unixsocket", SOCKET, "--unixsocketperm", "700", "--protected-mode", "no"),
    *("--dir", ".", "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", SERVER_LOG),
]


def open_lock(path: str | Path) -> int:
    """A new file description for a lock file: locks taken on it are its own, also within one process."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def say(text: str) -> None:
    """A line in guardian.log. A log that can't be written is no reason to leave the server alone."""
    with contextlib.suppress(OSError):
        set_aside(GUARDIAN_LOG)
        with Path(GUARDIAN_LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} guardian {os.getpid()}: {text}\n")


def set_aside(log: str) -> None:
    """Bounds a log to twice LOG_BYTES: the old part goes to `<log>.1`, and what was there before is gone."""
    with contextlib.suppress(OSError):
        if Path(log).stat().st_size > LOG_BYTES:
            Path(log).replace(f"{log}.1")


def stop_leftover() -> bool:
    """Asks the server behind the socket that was moved aside to flush its log and end. True if it has."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(STOP_TIMEOUT_S)
        try:
            connection.connect(LEFTOVER_SOCKET)
            say("a server from before is running; it is being stopped")
            connection.sendall(b"*1\r\n$8\r\nSHUTDOWN\r\n")
            answer = connection.recv(512)  # a server that ends closes the connection instead of answering
        except TimeoutError:
            answer = b"(none)"
        except OSError:
            answer = b""
    if answer:
        say(f"the server from before did not stop, its answer: {answer!r}")
        return False
    with contextlib.suppress(OSError):
        Path(LEFTOVER_SOCKET).unlink()
    return True


def tie_to_us() -> Callable[[], None] | None:
    """What the server's process runs before it becomes redis-server, so that our death ends it. None if not Linux."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # a Python or C library without it: as on other systems
        return None
    guardian = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != guardian:  # we died before the kernel knew of the tie
            os._exit(1)

    return tie


class Guardian:
    """One life: wait out an old server, keep one running while there are users, stop it.

    Its main thread alone decides, on events from a queue: threads that block on a lock or on the server's end, and the
    signal handler, only put them in. The main thread also starts the server, as the tie is to the thread that did.
    """

    def __init__(self, program: str) -> None:
        self._command = [program, *SERVER_OPTIONS]
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._leaving = False
        self._server: subprocess.Popen[bytes] | None = None
        self._server_lock = open_lock(SERVER_LOCK)
        self._tie = tie_to_us()

    def run(self) -> None:
        """Returns when the users have gone, when told to end, or when the server can't be kept running."""
        users = open_lock(USERS_LOCK)
        self._tell(lambda: fcntl.flock(users, fcntl.LOCK_EX), LEAVE)
        self._tell(lambda: fcntl.flock(self._server_lock, fcntl.LOCK_EX), CLEAR)
        if not stop_leftover() or not self._until(CLEAR, STOP_TIMEOUT_S):
            say("giving up: a server from before still holds server.lock or its socket; end it by hand")
            return
        try:
            self._keep_running()
        finally:
            self._stop()
            os.close(self._server_lock)  # while we have guardian.lock: without a guardian, it means a server

    def leave(self) -> None:
        """Ends `run` soon. Safe in a signal handler."""
        self._events.put(LEAVE)

    def _keep_running(self) -> None:
        deaths, pause = 0, FIRST_PAUSE_S
        while not self._leaving:
            born = time.monotonic()
            self._start()
            if not self._until(DIED, None, or_leave=True):
                return
            code = self._server.returncode if self._server else None
            self._server = None
            if time.monotonic() - born > STEADY_S:
                deaths, pause = 0, FIRST_PAUSE_S
            deaths += 1
            say(f"the server ended by itself with code {code}, {deaths} of {MAX_QUICK_DEATHS} times in a row")
            if deaths >= MAX_QUICK_DEATHS:
                say(f"giving up: {SERVER_LOG} says why it ended; the next user of the folder tries again")
                return
            self._until(DIED, pause, or_leave=True)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _start(self) -> None:
        """Starts the server. One that can't be started has died at once."""
        set_aside(SERVER_LOG)
        try:
            with Path(SERVER_LOG).open("ab") as log:  # for what redis says before it has read its options
                server = self._server = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(self._server_lock,),
                    preexec_fn=self._tie,  # noqa: PLW1509 - our other threads hold no lock: all are blocked in the kernel
                )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"{self._command[0]} can't be started: {error}")
            self._events.put(DIED)
        else:
            self._tell(server.wait, DIED)

    def _stop(self) -> None:
        """Ends the server, orderly if it can: on SIGTERM it flushes its log to the disk."""
        server = self._server
        if server is None:
            return
        server.terminate()
        if not self._until(DIED, STOP_TIMEOUT_S):
            say(f"the server did not stop within {STOP_TIMEOUT_S:.0f} s and is killed")
            server.kill()
            self._until(DIED, KILL_TIMEOUT_S)

    def _tell(self, block: Callable[[], object], event: str) -> None:
        """Puts `event` in the queue when `block` returns, or fails: a lock that can't be had is not waited for."""

        def wait() -> None:
            try:
                block()
            except OSError as error:
                say(f"waiting for '{event}' failed: {error}")
                self._events.put(LEAVE)
            else:
                self._events.put(event)

        threading.Thread(target=wait, daemon=True).start()

    def _until(self, wanted: str, timeout_s: float | None, *, or_leave: bool = False) -> bool:
        """Waits for an event, at most so long. A LEAVE on the way is kept in mind, and ends the wait if `or_leave`."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not (or_leave and self._leaving):
            try:
                event = self._events.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                return False
            if event == LEAVE:
                self._leaving = True
            elif event == wanted:
                return True
        return False


def main(folder: str, program: str, lock: int) -> None:
    """Lives as the guardian of `folder` with the guardian.lock that came as file `lock`. Does not return."""
    if os.fork():  # our starter waits for this process only: the guardian is nobody's child, so nobody's zombie
        os._exit(0)
    try:
        os.chdir(folder)
        os.umask(0o077)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        guardian = Guardian(program)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: guardian.leave())
        # What our starter ignores or blocks would otherwise hold for us, and a blocked SIGTERM for the server too.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        guardian.run()
        with contextlib.suppress(OSError):
            Path(SOCKET).unlink()
    except BaseException as error:  # noqa: BLE001 - nobody is above us: what is not written here is lost
        say(f"ended by {error!r}")
    finally:
        os.close(lock)  # before users.lock, which goes with the process: the order that makes joining safe
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
