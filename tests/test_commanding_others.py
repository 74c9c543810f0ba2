"""Commands beside calls, and beside what is damaged: one outcome for each, and none holds up the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from interrupts import ConflictError, InterruptResponse
from tests.conftest import whole_log
from tests.producing import Producer
from tests.servers import RedisServer
from tests.test_commanding import deciding, told
from workers.commands_parked import parked_commands

MANY = 100


def test_commands_race_with_calls(shared_server: RedisServer, namespace: str) -> None:
    """Of a call and a command that answer the same interrupt one wins, and the other is told."""

    async def main() -> None:
        async with deciding(shared_server.url, namespace) as (service, _):
            with shared_server.client() as client:
                sender = await asyncio.to_thread(Producer, client, namespace)
                made = [await service.create_confirmation("r", "u", f"s{number}", "Go on?") for number in range(MANY)]
                won: list[str] = []

                async def answer(interrupt_id: str) -> None:
                    with suppress(ConflictError):
                        await service.respond(interrupt_id, InterruptResponse(approved=False), actor="a call")
                        won.append(interrupt_id)

                sending = asyncio.to_thread(lambda: [sender.respond(one.id, f"c-{one.id}") for one in made])
                await asyncio.gather(sending, *(answer(one.id) for one in made))
                for one in made:
                    outcome, body = await told(sender, f"c-{one.id}")
                    assert (outcome == "done") == (one.id not in won), body
                assert len(await whole_log(service)) == 2 * MANY

    asyncio.run(main())


def test_what_is_damaged_holds_up_nobody(shared_server: RedisServer, namespace: str) -> None:
    """A command about an interrupt that can't be read is parked and refused; once it is mended, its id is decided."""

    async def main() -> None:
        async with deciding(shared_server.url, namespace) as (service, _):
            with shared_server.client() as client:
                sender = await asyncio.to_thread(Producer, client, namespace)
                made = (await told(sender, sender.create("s", "make")))[1]["interrupt_id"]
                key = service.store.keys.interrupt(made)
                packed = client.get(key)
                assert isinstance(packed, bytes)
                name = ""
                for damage in (b"nonsense", None):
                    client.delete(key)
                    client.set(key, damage) if damage else client.hset(key, "a", "b")
                    name = f"yes-{damage!r}"
                    sender.respond(made, name)
                    sender.create("s", f"next-{damage!r}")
                    assert (await told(sender, f"next-{damage!r}"))[0] == "done"
                    outcome, body = await told(sender, name)
                    assert (outcome, body["error"], body["http_status"]) == ("refused", "CorruptLogError", 500)
                assert len(await parked_commands(service)) == 2
                client.delete(key)
                client.set(key, packed)
                sender.respond(made, name)
                assert [one for one, _ in await asyncio.to_thread(sender.replies, name, 2)] == ["refused", "done"]

    asyncio.run(main())


def test_a_stream_that_is_deleted_and_begun_anew_is_read(shared_server: RedisServer, namespace: str) -> None:
    """From its beginning, whatever its entries are called."""

    async def main() -> None:
        async with deciding(shared_server.url, namespace) as (_, role):
            with shared_server.client() as client:
                sender = await asyncio.to_thread(Producer, client, namespace)
                assert (await told(sender, sender.create("s")))[0] == "done"
                stream = sender.where[str(sender.partition("s"))]
                client.delete(stream)
                body = '{"kind":"checkpoint","request_id":"r","user_id":"u","session_id":"s"}'
                client.xadd(stream, {"id": "early", "command": "create", "body": body}, id="1-1")
                assert (await told(sender, "early"))[0] == "done"
                assert role.numbers()["done"] == 2

    asyncio.run(main())
