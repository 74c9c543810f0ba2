"""The user's side of `embedded://<folder>`: join the folder's private server, find it again, leave it.

How users, guardian and server find, start and stop each other is written down in `guardian.py`. Here is a user's part:
it holds the shared users.lock from `attach` to `detach`, starts a guardian when there is none, and waits for the
server's answer. No child processes stay, and no threads, signal handlers or timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

from interrupts.errors import UnavailableError, UnsuitableServerError, ValidationError

SUPPORTED = sys.platform != "win32"
if SUPPORTED:
    import fcntl

    from interrupts.store import folder_looks as looks
    from interrupts.store import guardian, socket_path

START_TIMEOUT_S = 30.0  # to get in (an old server may have to be stopped first), and for the server's first answer
LOAD_TIMEOUT_S = 600.0  # for a server that answers that it is reading its log: giving up would make it start over
LEAVE_TIMEOUT_S = 20.0  # for the guardian to stop the server after the last user; it takes less
STEP_S = 0.02  # between two looks while something starts or stops
MAX_GUARDIANS = 2  # started by one wait: a guardian has itself tried several times before it gives up
SERVER_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.ENOLCK}

# A fork copies our locks into a child that knows nothing of them and would keep them for its life. The child closes
# its copies; and no fork happens (in another thread) while a lock is on its way to a guardian.
_no_fork = threading.RLock()
_users: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


class EmbeddedServer:
    """The private server of a folder, as one user of it sees it. Belongs to one event loop, in any thread.

    `socket` is where the server listens; it is fixed from the start. Refuses Windows, as UnsuitableServerError.
    """

    socket: str

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if not SUPPORTED:
            raise UnsuitableServerError(
                "embedded:// needs file locks and unix sockets, which Windows lacks; nothing was started. "
                "Give a redis:// url, or memory://."
            )
        given = os.fsdecode(folder)
        if not given or "\0" in given:
            raise ValidationError("embedded:// needs the path of a folder, as in embedded:///var/lib/app", field="url")
        self._folder = Path(os.path.realpath(given))
        self._alias, self.socket = socket_path.find(self._folder)
        self._turn = asyncio.Lock()
        self._users_lock: int | None = None
        self._program = ""

    async def attach(self) -> None:
        """Joins: when it returns, a server answers and runs at least until `detach`. Attached already: makes sure.

        Refuses a folder that can't be made or written to (ValidationError on `url`), a system without redis-server
        (UnsuitableServerError), and a server that does not come up in time (UnavailableError). Then it has not joined.
        """
        async with self._turn:
            if self._users_lock is None:
                self._program = looks.redis_server()
                self._prepare()
                try:
                    await self._join()
                    await self._wait_until_up()
                except BaseException:  # a cancellation, too, must not keep the folder in use
                    self._give_back()
                    raise
            else:
                await self._wait_until_up()

    async def ensure_running(self) -> None:
        """After a lost connection: a server answers again when it returns. Cheap if one does already.

        Refuses a user that is not attached, a folder that was removed under it, and a server that does not come up in
        time, all as UnavailableError. The user stays attached: asking again later is right.
        """
        async with self._turn:
            if self._users_lock is None:
                raise UnavailableError(f"the embedded server in {self._folder} was left; attach to it again to use it")
            if not self._is_current(self._users_lock):
                raise UnavailableError(
                    f"the folder {self._folder} was removed or replaced while it was in use, and the data with it; "
                    "close the store and open it again to begin with what is there now"
                )
            self._prepare()
            await self._wait_until_up()

    async def detach(self) -> None:
        """Leaves. If this was the last user, the server has stopped when it returns, or LEAVE_TIMEOUT_S have passed."""
        async with self._turn:
            if self._users_lock is None:
                return
            self._give_back()
            deadline = time.monotonic() + LEAVE_TIMEOUT_S
            started = 0
            with contextlib.suppress(OSError, UnavailableError):
                while not self._in_use() and time.monotonic() < deadline:
                    if looks.can_lock(self._folder / guardian.GUARDIAN_LOCK, fcntl.LOCK_SH):
                        if looks.can_lock(self._folder / guardian.SERVER_LOCK, fcntl.LOCK_SH):
                            return
                        # The guardian was killed, the server not: somebody must stop it, and we are the last.
                        started += self._see_to_guardian(may_start=started < MAX_GUARDIANS)
                    await asyncio.sleep(STEP_S)

    def _prepare(self) -> None:
        """Makes the folder, and the short way to its socket if it needs one."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it can't be written to")
            if self._alias:
                socket_path.make_alias(self._alias, self._folder)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> ValidationError | UnavailableError:
        text = f"embedded:// can't use the folder {self._folder}: {error.strerror or error}; nothing was started. "
        if error.errno in SERVER_FAULTS:
            return UnavailableError(text + "The machine lacks what it says; try again when it has it.")
        return ValidationError(text + "Give a folder that this process can write to, or can make.", field="url")

    async def _join(self) -> None:
        """Takes the shared lock, after the stop of a server whose last user has just left."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with _no_fork:
                    self._users_lock = guardian.open_lock(self._folder / guardian.USERS_LOCK)
                    _users.add(self)
                if looks.try_lock(self._users_lock, fcntl.LOCK_SH) and self._is_current(self._users_lock):
                    return
            except OSError as error:
                raise self._refusal(error) from error
            self._give_back()
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the previous server in {self._folder} is still being stopped after {START_TIMEOUT_S:.0f} s; "
                    "nothing was started. Try again."
                )
            await asyncio.sleep(STEP_S)

    def _give_back(self) -> None:
        """Gives the shared lock back, if we have it. LOCK_UN: also for copies that a fork in C code may have made."""
        lock, self._users_lock = self._users_lock, None
        if lock is not None:
            _users.discard(self)
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def forget(self) -> None:
        """In a forked child: the lock is the parent's, and so is the membership."""
        lock, self._users_lock = self._users_lock, None
        if lock is not None:
            os.close(lock)

    def __del__(self) -> None:
        if getattr(self, "_users_lock", None) is not None:
            self._give_back()

    def _is_current(self, lock: int) -> bool:
        """Whether the lock file we have open is the one that others find."""
        try:
            return os.path.samestat(os.fstat(lock), (self._folder / guardian.USERS_LOCK).stat())
        except FileNotFoundError:
            return False

    async def _wait_until_up(self) -> None:
        """Sees to it that there is a guardian, and waits for an answer from its server."""
        started, limit = 0, START_TIMEOUT_S
        begin = time.monotonic()
        while True:
            started += self._see_to_guardian(may_start=started < MAX_GUARDIANS)
            answer = await looks.ping(self.socket)
            if answer.startswith(b"-LOADING"):
                limit = LOAD_TIMEOUT_S
            elif answer:  # another error too: the server is there, and says it better to a real command
                return
            if time.monotonic() - begin > limit:
                raise self._not_up(f"redis-server did not answer within {limit:.0f} s")
            await asyncio.sleep(STEP_S)

    def _see_to_guardian(self, *, may_start: bool = True) -> bool:
        """Starts a guardian if there is none, and says whether it did. The lock that tells goes to the guardian."""
        with _no_fork:
            try:
                lock = guardian.open_lock(self._folder / guardian.GUARDIAN_LOCK)
            except OSError as error:
                raise self._not_up(f"{guardian.GUARDIAN_LOCK} can't be opened ({error.strerror})") from error
            try:
                if not looks.try_lock(lock, fcntl.LOCK_EX):
                    return False
                if not may_start:
                    raise self._not_up("redis-server ended each time it was started")
                # A server left over from a killed guardian gets no new connections from here on.
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / guardian.SOCKET).rename(self._folder / guardian.LEFTOVER_SOCKET)
                command = [sys.executable, "-I", "-S", guardian.__file__, str(self._folder), self._program, str(lock)]
                nothing = subprocess.DEVNULL
                child = subprocess.Popen(
                    command, stdin=nothing, stdout=nothing, stderr=nothing, pass_fds=(lock,), start_new_session=True
                )
            except OSError as error:
                raise self._not_up(f"its guardian process can't be started ({error})") from error
            finally:
                os.close(lock)
        # The child forks the guardian and ends at once. A thread reaps it, as we may be cancelled before that.
        threading.Thread(target=child.wait, name="interrupts-guardian-start", daemon=True).start()
        return True

    def _in_use(self) -> bool:
        """After we left: others have users.lock. It is then not to be had alone, but to be shared; a guardian that
        stops its server has it alone."""
        users = self._folder / guardian.USERS_LOCK
        return not looks.can_lock(users, fcntl.LOCK_EX) and looks.can_lock(users, fcntl.LOCK_SH)

    def _not_up(self, what: str) -> UnavailableError:
        logs = "".join(looks.tail(self._folder / name) for name in (guardian.SERVER_LOG, guardian.GUARDIAN_LOG))
        return UnavailableError(
            f"the embedded server in {self._folder} is not there: {what}. What was "
            "acknowledged before is in the folder's log. Repair what the logs name (redis-check-aof repairs a damaged "
            f"append-only file) and try again, or give another folder.{logs}"
        )


def _forget_all() -> None:
    for user in list(_users):
        user.forget()
    _users.clear()
    _no_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_forget_all)
