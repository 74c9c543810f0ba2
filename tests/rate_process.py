"""A process that makes calls, for tests: `python -m tests.rate_process <url> <namespace> <user> <calls> <clock_s>`.

Its clock is off by so many seconds. It prints a line when it is connected, waits for one, makes its calls from several
threads at once, and prints how many passed.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from interrupts import RateLimiter
from tests.worker_process import Process

THREADS = 8


class Caller:
    """Such a process."""

    def __init__(self, url: str, namespace: str, user: str, calls: int, clock_s: float = 0.0) -> None:
        self.process = Process(__name__, url, namespace, user, str(calls), str(clock_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.end()

    def start(self) -> None:
        """Lets it make its calls."""
        assert self.process.ready() == "ready"
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.write("go\n")
        self.process.popen.stdin.flush()

    def passed(self) -> int:
        """How many of its calls passed."""
        assert self.process.popen.stdout is not None
        number = int(self.process.popen.stdout.readline())
        self.process.leave()
        return number


def main(url: str, namespace: str, user: str, calls: str, clock_s: str) -> None:
    """From its start to its end."""
    real, real_ns, off_s = time.time, time.time_ns, float(clock_s)
    time.time = lambda: real() + off_s
    time.time_ns = lambda: real_ns() + round(off_s * 10**9)
    with RateLimiter.connect(url, namespace=namespace) as limiter, ThreadPoolExecutor(THREADS) as pool:
        print("ready", flush=True)
        sys.stdin.readline()
        results = list(pool.map(lambda _: limiter.check_rate_limit(user, "/a"), range(int(calls))))
        print(sum(result.allowed for result in results), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
