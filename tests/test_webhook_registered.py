"""An endpoint as it is written down: read again as it was, with an id that stays, its secrets told to nobody."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts import connect
from interrupts.errors import CorruptLogError
from interrupts.store.hooks import Change, Hooks
from tests.endpoints import SECRET, URL, stored
from tests.reacting import run
from workers.webhooks import Rules, WebhookConfig, Webhooks
from workers.webhooks.model import HIDDEN
from workers.webhooks.registered import ROTATION_S, Off, encoded, going_on, id_of, registered
from workers.webhooks.scopes import Scope

OLD = "the one before, that nobody may read"
FULL = stored(old_secret=OLD, old_until_ms=4_102_444_800_000, after={0: "5-0"}, url=f"{URL}?token={SECRET}")


def change(text: bytes, off: str = "") -> Change:
    """An endpoint as it is stored."""
    return Change("wh_a", b"5 " + text, off)


def test_the_id_of_an_endpoint_is_the_same_for_ever() -> None:
    """It is in what receivers have stored: a made-up one, and one that was computed by hand."""
    assert id_of("interrupts", Scope(), URL) == "wh_eff5bbf473c56d4c0919"
    by_hand = hashlib.sha256(b"ns\x00session:chat\x00https://example.com/hook").hexdigest()
    assert id_of("ns", Scope("session", "chat"), URL) == f"wh_{by_hand[:20]}"


def test_each_url_in_each_scope_of_each_namespace_has_an_id_of_its_own() -> None:
    """The same words elsewhere are something else."""
    scopes = [Scope(), *(Scope(sort, own) for sort in ("request", "session", "user") for own in ("a", "session:a"))]
    urls = (URL, f"{URL}/", f"{URL}?a")
    ids = [id_of(namespace, scope, url) for namespace in ("n", "nn") for scope in scopes for url in urls]
    assert len(set(ids)) == len(ids) == 2 * 7 * 3
    assert all(re.fullmatch("wh_[0-9a-f]{20}", one) for one in ids)


@given(
    st.builds(
        stored,
        st.text(),
        secret=st.none() | st.text(),
        old_secret=st.none() | st.text(),
        old_until_ms=st.integers(0, 2**50),
        headers=st.dictionaries(st.text(), st.text(), max_size=2),
        timeout_s=st.floats(0, 1e9),
        off_after_s=st.none() | st.integers(0, 100),
        after=st.dictionaries(st.integers(0, 255), st.sampled_from(["0-0", "5-7"]), max_size=3),
    )
)
def test_what_was_written_down_is_read_again(what: Any) -> None:
    """Whatever it is."""
    found = registered(change(encoded(what)))
    assert (found.id, found.since_ms, found.what, found.off) == ("wh_a", 5, what, None)


def test_why_it_is_off_is_read_with_it() -> None:
    """And since when."""
    off = registered(change(encoded(FULL), '{"why":"it is","at_ms":7}'))
    assert off.off == Off("it is", 7)
    endpoint = off.endpoint()
    assert (endpoint.off, endpoint.off_since) == ("it is", datetime(1970, 1, 1, 0, 0, 0, 7000, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "off"),
    [
        (b"", ""),
        (b"{}", ""),
        (b"null", ""),
        (b"\xff", ""),
        (encoded(FULL)[:-1], ""),
        (encoded(FULL).replace(b'"concurrency":4', f'"concurrency":"{SECRET}"'.encode()), ""),
        (encoded(FULL).replace(b"https", b"\xff"), ""),
        (encoded(stored(after={0: "nowhere"})), ""),
        (encoded(FULL), SECRET),
        (encoded(FULL), "{}"),
    ],
)
def test_what_can_not_be_read_is_refused_without_showing_it(text: bytes, off: str) -> None:
    """It says which endpoint it is, what it means, and what to do."""
    with pytest.raises(CorruptLogError, match=r"wh_a .* Register it again") as error:
        registered(change(text, off))
    assert SECRET not in str(error.value)
    assert OLD not in str(error.value)
    assert (error.value.__cause__, error.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize(
    ("secret", "old", "until_ms", "expected"),
    [
        (None, None, 0, ()),
        ("new", None, 0, ("new",)),
        ("new", "old", 1_001, ("new", "old")),
        ("new", "old", 1_000, ("new",)),
        ("new", "old", 999, ("new",)),
        (None, "old", 1_001, ("old",)),
    ],
)
def test_two_secrets_sign_while_one_is_replaced(
    secret: str | None, old: str | None, until_ms: int, expected: tuple[str, ...]
) -> None:
    """At the time 1,000. The newest comes first."""
    what = stored(secret=secret, old_secret=old, old_until_ms=until_ms)
    assert registered(change(encoded(what))).secrets(1_000) == expected


def test_nothing_that_is_told_of_an_endpoint_shows_a_secret() -> None:
    """Neither its representations nor what callers get; values of headers are secrets, too."""
    one = registered(change(encoded(msgspec.structs.replace(FULL, url=URL))))
    config = WebhookConfig(URL, ["*"], SECRET, {"Authorization": SECRET})
    endpoint = one.endpoint()
    shown = [repr(FULL), repr(one), repr(config), repr(endpoint), json.dumps(endpoint.to_dict()), repr(one.config())]
    shown += [f"{FULL}", f"{one}", f"{config}", f"{one.config().headers}", f"{[one]} {[FULL]} {[config]}"]
    assert [text for text in shown if SECRET in text or OLD in text] == []
    assert (endpoint.has_secret, endpoint.headers) == (True, ["Authorization"])
    assert one.config().secret is None
    assert one.config().headers == {"Authorization": HIDDEN}
    assert endpoint.rotating_until == datetime(2100, 1, 1, tzinfo=UTC)
    over = registered(change(encoded(msgspec.structs.replace(FULL, old_until_ms=9_000)))).endpoint()
    assert (over.has_secret, over.rotating_until) == (True, None)
    plain = registered(change(encoded(stored(secret=None)))).endpoint()
    assert (plain.has_secret, plain.rotating_until, plain.scope) == (False, None, "")


NOW_MS = 5_000
ROTATED_MS = NOW_MS + round(ROTATION_S * 1000)


@pytest.mark.parametrize(
    ("given", "old", "until_ms", "expected"),
    [
        (SECRET, None, 0, (SECRET, None, 0)),
        (None, None, 0, (SECRET, None, 0)),
        ("another one", None, 0, ("another one", SECRET, ROTATED_MS)),
        (SECRET, OLD, 5_001, (SECRET, OLD, 5_001)),
        (None, OLD, 5_001, (SECRET, OLD, 5_001)),
        (OLD, OLD, 5_001, (SECRET, OLD, 5_001)),
        ("another one", OLD, 5_001, ("another one", SECRET, ROTATED_MS)),
        (SECRET, OLD, 5_000, (SECRET, None, 0)),
        (OLD, OLD, 5_000, (OLD, SECRET, ROTATED_MS)),
    ],
)
def test_an_endpoint_that_is_registered_again_is_the_one_that_it_was(
    given: str | None, old: str | None, until_ms: int, expected: tuple[Any, ...]
) -> None:
    """It is told of what comes after its first registration. Without a secret it keeps its own, another one begins a
    rotation, and the one that is being replaced ends none."""
    there = change(encoded(stored(after={0: "5-0"}, old_secret=old, old_until_ms=until_ms)))
    found = going_on(stored("a.b", secret=given, after={0: "9-0"}), there, NOW_MS)
    secret, old_secret, old_until_ms = expected
    assert found == stored("a.b", after={0: "5-0"}, secret=secret, old_secret=old_secret, old_until_ms=old_until_ms)


def test_an_endpoint_that_had_no_secret_gets_the_one_that_it_is_given() -> None:
    """Nothing is replaced then. And one that is not there, or can't be read, is a new one."""
    there = change(encoded(stored(secret=None)))
    assert going_on(stored(), there, NOW_MS) == stored()
    assert going_on(stored(), None, NOW_MS) is None
    assert going_on(stored(), change(b"{}"), NOW_MS) is None


@pytest.mark.parametrize("damaged", [b"5 {}", b"garbage", b"", b"12", b"5 \xff\xfe", b"5"])
def test_an_endpoint_that_can_not_be_read_can_be_registered_again(url: str, namespace: str, damaged: bytes) -> None:
    """As its error says. It can be taken away as well."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            hooks = Webhooks(service, Rules(networks=("127.0.0.0/8",)))
            config = WebhookConfig("http://127.0.0.1:8080/hook", ["*"], "a secret of mine")
            hook = await hooks.register(config)
            keys, server = service.store.keys, service.store.server
            for again in (True, False):
                await server.command(keys.slots[0], "HSET", keys.hooks, hook, damaged)
                await Hooks(server, keys).ring(hook)
                assert await hooks.endpoints() == []
                if again:
                    assert await hooks.register(config) == hook
                    assert [one.id for one in await hooks.endpoints()] == [hook]
                else:
                    assert await hooks.unregister(webhook_id=hook) == 1
                    assert await server.command(keys.slots[0], "HLEN", keys.hooks) == 0

    run(main())
