"""A copy of what is registered, where that is damaged or was taken back by a fail-over."""

from __future__ import annotations

import pytest

from tests.endpoints import SECRET, copy_in, stored
from tests.reacting import run
from workers.webhooks.registered import encoded
from workers.webhooks.registry import Registry


@pytest.mark.parametrize("text", ["5 {}", "garbage", '5 {"url":"x"}', f'5 {{"secret":"{SECRET}"', b"5 \xff"])
def test_what_can_not_be_read_is_said_and_left_out(url: str, namespace: str, text: str | bytes) -> None:
    """The others are told. Once it is registered again it is told, too; its text is in no line of the log."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("good")
            await copy.put("bad")
            await copy.registry.refresh()
            await copy.raw("HSET", "", "bad", text)
            await copy.hooks.ring("bad")
            copy.world.lines.clear()
            assert await copy.registry.refresh() == {"bad"}
            assert (copy.wanting(), copy.registry.unreadable) == (["good"], {"bad"})
            ((level, event, fields),) = copy.world.lines
            assert (level, event, fields["webhook"]) == ("error", "webhooks.unreadable", "bad")
            assert SECRET not in repr(copy.world.lines)
            another = Registry(copy.service)
            await another.refresh()
            assert (set(another.by_id), another.unreadable) == ({"good"}, {"bad"})
            await copy.put("bad")
            assert await copy.registry.refresh() == {"bad"}
            assert (copy.wanting(), copy.registry.unreadable) == (["bad", "good"], set())
            await copy.raw("HSET", "", "bad", text)
            await copy.hooks.ring("bad")
            await copy.registry.refresh()
            await copy.hooks.remove("bad")
            await copy.registry.refresh()
            assert (copy.wanting(), copy.registry.unreadable) == (["good"], set())

    run(main())


def test_now_and_then_everything_is_looked_at(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fail-over may have taken changes back behind numbers that look as if nothing had happened."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            for hook in ("same", "changed", "gone"):
                await copy.put(hook)
            await copy.registry.refresh()
            await copy.raw("HSET", "", "changed", b"7 " + encoded(stored("a.b")))
            await copy.raw("HSET", "", "new", b"7 " + encoded(stored()))
            await copy.raw("HDEL", "", "gone")
            assert await copy.registry.refresh() == set()
            assert copy.wanting() == ["changed", "gone", "same"]
            monkeypatch.setattr("workers.webhooks.registry.HOOK_LOOK_AT_ALL_S", -1.0)
            assert await copy.registry.refresh() == {"changed", "gone", "new"}
            assert copy.wanting() == ["new", "same"]
            assert await copy.registry.refresh() == set()

    run(main())


def test_a_number_that_has_gone_back_shows_everything(url: str, namespace: str) -> None:
    """A fail-over took changes back, and the number with them."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("stays")
            await copy.put("lost")
            await copy.registry.refresh()
            await copy.raw("HDEL", "", "lost")
            await copy.raw("ZREM", ":news", "lost")
            await copy.raw("HSET", ":meta", "rev", 1)
            assert await copy.registry.refresh() == {"lost"}
            assert copy.wanting() == ["stays"]
            await copy.put("new")
            assert await copy.registry.refresh() == {"new"}

    run(main())
