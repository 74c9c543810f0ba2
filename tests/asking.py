"""Commands on a test's own namespace, run in the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.parking import store
from tests.servers import RedisServer
from workers.__main__ import main

Ask = Callable[..., str]


def asker(
    server: RedisServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Runs a command on this namespace, which is there; what it has printed on stdout, or with `err` on stderr."""

    async def make() -> None:
        async with store(server, namespace):
            pass

    asyncio.run(make())
    monkeypatch.setenv("INTERRUPTS_REDIS_URL", server.url)
    monkeypatch.setenv("INTERRUPTS_NAMESPACE", namespace)

    def run(*arguments: str, code: int = 0, err: bool = False) -> str:
        try:
            ended = main(list(arguments))
        except SystemExit as usage:
            ended = int(str(usage.code))
        said = capsys.readouterr()
        assert ended == code, said
        assert "Traceback" not in said.err
        return said.err if err else said.out

    return run
