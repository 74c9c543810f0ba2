"""The Lua scripts keep the contracts in their headers: what Python sends, what the script reads, what comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import fakeredis
import pytest
import redis

from interrupts.scripts import script
from interrupts.views import Checkpoint
from tests import command_calls, group_calls, hook_calls, log_calls, tally_calls, view_calls
from tests.headers import CALLED, Call, fits, header, laid_out
from tests.recording import KEYS, LISTED, Recorder, prepared
from tests.servers import RedisServer

# Each script that is called, with the Python that calls it; a new script needs a place here.
OF_THE_LOG = (log_calls.append, log_calls.read, log_calls.due, log_calls.namespace, command_calls.decided)
LISTS = (view_calls.page, view_calls.heads, view_calls.total, view_calls.counts)
FOLDS = (view_calls.views, view_calls.apply, view_calls.begin, view_calls.attend)
CHECKS = (view_calls.snapshot, view_calls.stored)
TALLIES = (tally_calls.take, tally_calls.reserve, tally_calls.settle, tally_calls.usage, tally_calls.forgive)
GROUPS = (group_calls.enlist, group_calls.lease, group_calls.progress, group_calls.release)
LANES = (hook_calls.deliver, hook_calls.fetch, hook_calls.sent, hook_calls.resend)
HOOKS = (hook_calls.waiting, hook_calls.deliveries, hook_calls.hook, hook_calls.hooks)
CREATIONS = (tally_calls.claim, tally_calls.count, tally_calls.tallied, tally_calls.mend)
CALLS: dict[str, Callable[[Recorder], Awaitable[list[Call]]]] = {
    function.__name__: function
    for function in (*OF_THE_LOG, *LISTS, *FOLDS, *CHECKS, *TALLIES, *CREATIONS, *GROUPS, *LANES, *HOOKS)
}

EPOCH_MS = 1735689600_000
"""2025-01-01, as milliseconds: from then on `begin` counts."""

# Around a script: it runs as it is, and what comes back are the places of KEYS and ARGV that it has looked at. Their
# number is no look at one; `unpack` as it is would look past our back.
WATCH = """
local touched, KEYS_COUNT, ARGV_COUNT = {}, #KEYS, #ARGV
local function watched(name, real)
  return setmetatable({}, {__index = function(_, i) touched[#touched + 1] = name .. i; return real[i] end})
end
local function unpack(list, first, last)
  first, last = first or 1, last or #list
  if first <= last then
    return list[first], unpack(list, first + 1, last)
  end
end
local KEYS, ARGV = watched('KEYS ', KEYS), watched('ARGV ', ARGV)
local function body()
%s
end
body()
return touched
"""


def called(name: str, *, one_server: bool) -> tuple[list[tuple[list[Any], list[Any]]], list[Call]]:
    """What Python sends to a script, and what the header's names stand for in it."""

    async def main() -> tuple[list[tuple[list[Any], list[Any]]], list[Call]]:
        server = Recorder(one_server=one_server)
        for command in (*prepared(), *hook_calls.prepared()):
            await server.command(0, *command)
        said = await CALLS[name](server)
        await server.close()
        return [(keys, args) for script, keys, args in server.calls if script == name], said

    return asyncio.run(main())


@pytest.fixture(params=["redis", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A store in which the scripts find what is prepared: on a real server, and in this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        client.delete(*client.scan_iter("{scripts*"), "none")
        run: Callable[..., Any] = client.execute_command
        for command in (*prepared(), *hook_calls.prepared()):
            run(*command)
        yield client


def test_every_script_that_is_called_is_tried_here() -> None:
    """The table above has them all."""
    assert set(CALLED) == set(CALLS)


@pytest.mark.parametrize("one_server", [True, False], ids=["one server", "cluster"])
@pytest.mark.parametrize("name", CALLS)
def test_python_sends_what_the_header_says(name: str, one_server: bool) -> None:
    """Exactly the header's keys and arguments, by name and in its order: scope by scope, member by member."""
    sent, calls = called(name, one_server=one_server)
    said = header(name)
    assert [(laid_out(said["KEYS"], call), laid_out(said["ARGV"], call)) for call in calls] == sent


@pytest.mark.parametrize("name", CALLS)
def test_the_script_reads_every_key_and_argument_and_no_other(name: str, client: redis.Redis) -> None:
    """Run with what Python sends, it looks at each, and never beyond.

    Calls that are alike in form are looked at together: what one of them has no use for, another has.
    """
    run: Callable[..., Any] = client.execute_command
    text = WATCH % re.sub(r"#(KEYS|ARGV)\b", r"\1_COUNT", script(name).text)
    found: dict[tuple[int, int], set[str]] = {}
    for keys, args in called(name, one_server=True)[0]:
        touched = run("EVAL", text, len(keys), *keys, *args)
        found.setdefault((len(keys), len(args)), set()).update(place.decode() for place in touched)
    assert found
    for (keys_count, args_count), places in found.items():
        expected = {f"KEYS {at + 1}" for at in range(keys_count)} | {f"ARGV {at + 1}" for at in range(args_count)}
        assert expected == places


@pytest.mark.parametrize("name", CALLS)
def test_the_reply_is_as_long_as_the_header_says(name: str, client: redis.Redis) -> None:
    """A value for each name of each scope; a list, where the header has one, for each member."""
    run: Callable[..., Any] = client.execute_command
    sent, calls = called(name, one_server=True)
    for (keys, args), call in zip(sent, calls, strict=True):
        assert fits(name, call, run("EVAL", script(name).text, len(keys), *keys, *args))


@pytest.mark.parametrize("live", [b"2", b""], ids=["another generation", "none"])
@pytest.mark.parametrize("name", ["page", "heads", "total", "counts"])
def test_a_reply_about_another_generation_ends_after_how_the_view_stands(
    name: str, live: bytes, client: redis.Redis
) -> None:
    """Keys of a generation that is not live are not looked at: the reply only says which one is."""
    (keys, args), *_ = called(name, one_server=True)[0]
    client.delete(keys[1])
    if live:
        client.hset(keys[1], mapping={"live": live, "2:version": "1", "2:at": "0-0 0 "})
    run: Callable[..., Any] = client.execute_command
    reply = run("EVAL", script(name).text, len(keys), *keys, *args)
    names = header("stand")["RETURN"]["head"]
    assert len(names) == len(reply)
    assert live == dict(zip(names, reply, strict=True))["generation"]


def evaluated(client: redis.Redis, name: str, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
    """A script's reply."""
    run: Callable[..., Any] = client.execute_command
    return run("EVAL", script(name).text, len(keys), *keys, *args)


def write_log(client: redis.Redis, numbers: Iterable[int]) -> None:
    """Events in partition 3: each with its number in its place."""
    run: Callable[..., Any] = client.execute_command
    for number in numbers:
        run("XADD", KEYS.logs[3], f"{number}-0", "s", number, "e", f'["event {number}"]')


def now_ms(client: redis.Redis) -> int:
    """The server's time."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


CARD = KEYS.card(3, "pending")
AT: dict[str | None, tuple[int, str]] = {
    None: (0, "5-0"),
    "": (0, "5-0"),
    "garbage": (0, "5-0"),
    "0-0 0 ": (1, "5-0"),
    '6-0 6 ["ev': (1, "7-0"),
    "6-0 6 ": (1, "7-0"),
    '6-0 6 ["another': (0, "7-0"),
    '6-0 5 ["event 6"]': (0, "7-0"),
    "6-1 6 []": (0, "7-0"),
    '7-0 7 ["event 7"]': (1, ""),
    "9-0 9 []": (0, ""),
}
"""Checkpoints of a log with numbers 5 to 7: whether each is known, and what follows it."""


def test_views_tells_of_each_generation_how_it_stands(client: redis.Redis) -> None:
    """Live or being built: whether the log still has its event, and what it has not folded. Or it has no checkpoint."""
    write_log(client, (5, 6, 7))
    for number, at in enumerate(AT, 1):
        client.hset(CARD, f"{number}:version", "1")
        client.hdel(CARD, f"{number}:at") if at is None else client.hset(CARD, f"{number}:at", at)
    client.hset(CARD, mapping={"drop:99": "", "x:version": "1", "98:at": "6-0 6 ", "skip:6-0": "event"})
    reply = evaluated(client, "views", [KEYS.logs[3], CARD, KEYS.card(3, "none")])
    assert (reply[1], int(reply[2]), reply[3]) == (b"7-0", 7, b"5-0")
    _, _, _, _, card, generations, *none = reply
    assert client.hgetall(CARD) == dict(zip(card[::2], card[1::2], strict=True))
    assert none == [[], []]
    told = {
        int(number): (known, next_id.decode()) for number, known, next_id in zip(*[iter(generations)] * 3, strict=True)
    }
    assert dict(enumerate(AT.values(), 1)) == told
    assert len(generations) == 3 * len(told)


def test_views_tells_of_an_empty_log(client: redis.Redis) -> None:
    """It has no first event, and no generation has one before it."""
    reply = evaluated(client, "views", [KEYS.logs[3], CARD])
    assert reply[3] == b""
    assert reply[5] == [b"1", 1, b""]


@pytest.mark.parametrize("left", [{}, {"skip:6-0": "event"}, {"drop:1": ""}], ids=["nothing", "skip", "drop"])
def test_a_generation_begun_without_a_card_has_a_number_that_no_other_had(
    left: dict[str, str], client: redis.Redis
) -> None:
    """The log is there, so the view may have been, too, and its keys with it: the number comes from the clock."""
    run: Callable[..., Any] = client.execute_command
    write_log(client, (5, 6, 7))
    client.delete(CARD)
    for field, value in left.items():
        client.hset(CARD, field, value)
    first_ms = now_ms(client)
    number = evaluated(client, "begin", [KEYS.logs[3], CARD], [1, ""])
    assert first_ms - EPOCH_MS < number <= now_ms(client) - EPOCH_MS + 1
    assert number > 1_000_000_000
    assert run("HGET", CARD, "last") == str(number).encode()
    assert [run("HGET", CARD, f"{number}:{what}") for what in ("version", "at")] == [b"1", b"0-0 0 "]
    again = [evaluated(client, "begin", [KEYS.logs[3], CARD], [1, anew]) for anew in ("", "1", "1")]
    assert [number, number + 1, number + 2] == again


@pytest.mark.parametrize("log", [True, False], ids=["a log", "none"])
def test_generations_are_numbered_in_turn_where_there_is_a_card_or_no_log(log: bool, client: redis.Redis) -> None:
    """A first one is number 1."""
    if log:
        write_log(client, (5,))
        assert evaluated(client, "begin", [KEYS.logs[3], CARD], [1, ""]) == 2
    else:
        client.delete(CARD)
        assert evaluated(client, "begin", [KEYS.logs[3], CARD], [1, ""]) == 1


def test_a_generation_whose_checkpoint_is_lost_is_not_gone_on_with(client: redis.Redis) -> None:
    """It is given up, and another one is begun."""
    client.hset(CARD, mapping={"last": "2", "2:version": "1"})
    assert evaluated(client, "begin", [KEYS.logs[3], CARD], [1, ""]) == 3
    assert client.hexists(CARD, "drop:2")
    assert not client.hexists(CARD, "2:version")


def test_snapshot_tells_of_each_key_its_type_and_what_it_holds(client: redis.Redis) -> None:
    """Of sorted sets one slice, with both of its ends; of hashes all; of others the type only."""
    begin = KEYS.generation(3, "pending", 1)
    client.zadd(f"{begin}set", {"a": 1, "b": 2, "c": 2, "d": 3})
    client.hset(f"{begin}hash", mapping={"a": "1", "b": "2"})
    client.set(f"{begin}text", "a")
    keys = [CARD, *(begin + key for key in ("set", "hash", "text", "none"))]

    def held(*args: Any) -> list[Any]:
        return evaluated(client, "snapshot", keys, args)  # type: ignore[no-any-return]

    rest = [b"hash", [b"a", b"1", b"b", b"2"], b"string", None, b"none", None]
    at = Checkpoint().encode()
    assert [at, b"zset", [b"a", b"1", b"b", b"2", b"c", b"2", b"d", b"3"], *rest] == held(1, "-inf", "+inf", 9)
    assert [at, b"zset", [b"b", b"2", b"c", b"2"], *rest] == held(1, "2.0", "+inf", 2)
    assert [at, b"zset", [b"b", b"2", b"c", b"2"], *rest] == held(1, "2.0", "2.0", -1)
    assert [at, b"zset", [], *rest] == held(1, "3.5", "+inf", 9)
    assert held(2, "-inf", "+inf", 9)[0] is None


def test_stored_tells_of_each_id_its_text_and_its_deadline(client: redis.Redis) -> None:
    """The deadline is that of the id, whatever it looks like."""
    client.zadd(KEYS.deadlines[3], {"short": 5, LISTED[0].id: 7})
    ids = [LISTED[0].id, "short", LISTED[1].id]
    keys = [KEYS.logs[3], KEYS.deadlines[3], *(KEYS.interrupts[3] + name for name in ids)]
    client.set(keys[3], "text")
    texts = [client.get(KEYS.interrupts[3] + name) for name in ids]
    assert [b"0-0", texts[0], b"7", b"text", b"5", texts[2], None] == evaluated(client, "stored", keys, ids)
    write_log(client, (5, 6))
    assert evaluated(client, "stored", keys, ids)[0] == b"6-0"
