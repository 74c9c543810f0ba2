"""What a configuration of an endpoint has to be: each refusal names its field, and none shows what is secret; and the
scopes that callers may name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from interrupts import ValidationError
from interrupts.limits import (
    HOOK_CONCURRENCY_MAX,
    HOOK_HEADER_CHARS_MAX,
    HOOK_HEADERS_MAX,
    HOOK_PATTERNS_MAX,
    HOOK_RETRIES_MAX,
    HOOK_RETRY_DELAY_S_MAX,
    HOOK_TIMEOUT_S_MAX,
    ID_CHARS_MAX,
    TTL_S_MAX,
)
from tests.endpoints import SECRET, URL
from workers.webhooks import Rules, WebhookConfig
from workers.webhooks.checked import checked
from workers.webhooks.model import HIDDEN
from workers.webhooks.registered import Stored
from workers.webhooks.scopes import Scope

RULES = Rules()
NOT_NUMBERS = [True, None, "1", [1], math.nan, math.inf, -math.inf, -1, 10**30]
NUMBERS: dict[str, tuple[float, float, bool]] = {
    "timeout_seconds": (0.1, HOOK_TIMEOUT_S_MAX, False),
    "max_retries": (0, HOOK_RETRIES_MAX, True),
    "retry_delay_seconds": (0, HOOK_RETRY_DELAY_S_MAX, False),
    "max_retry_delay_seconds": (0, HOOK_RETRY_DELAY_S_MAX, False),
    "concurrency": (1, HOOK_CONCURRENCY_MAX, True),
    "off_after_seconds": (0, TTL_S_MAX, False),
}
"""The least, the most, and whether it is a whole number."""
STORED_AS = dict(
    zip(NUMBERS, ("timeout_s", "retries", "delay_s", "delay_max_s", "concurrency", "off_after_s"), strict=True)
)
NAMES = [
    "*",
    "interrupt",
    "interrupt.*",
    "interrupt.resolved",
    "session.chat.completed",
    "a.b.c.d.e.f",
    "a.b.c.d.e.f.*",
    "a1-b_c.9",
    "a" * 64,
]
NO_NAMES = ["", ".", "*.*", "*.a", "a*", "a.*.b", "A.b", "1a", "a.", ".a", "a..b", "a b", "ä", "a\n", "a.b.c.d.e.f.g"]
NO_NUMBERS: dict[str, list[Any]] = {
    field: [*NOT_NUMBERS, most + 1, most + 0.001, *([least + 0.5, 1.0] if whole else []), least - 0.01]
    for field, (least, most, whole) in NUMBERS.items()
}
NO_NUMBERS["concurrency"].append(0)
NO_NUMBERS["off_after_seconds"].remove(None)  # never
VALUES: dict[str, list[Any]] = NO_NUMBERS | {
    "url": [
        None,
        7,
        "",
        "example.com",
        "ftp://example.com/",
        "http://127.0.0.1/",
        "https://example.com:99999/",
        "http://[::1]/",
    ],
    "events": [None, "*", "interrupt.*", [], (), {"*"}, {"*": 1}, [None], [7], [["*"]], ["*"] * (HOOK_PATTERNS_MAX + 1)]
    + [["interrupt.*", name] for name in [*NO_NAMES, "a" * 65]],
    "secret": [
        "",
        "short",
        7,
        b"0123456789",
        "whsec_",
        "whsec_no base64 at all!",
        f" {SECRET}",
        "x" * 513,
        ["abcdefgh"],
    ],
    "headers": [
        None,
        [],
        "a: b",
        {f"X-{number}": "a" for number in range(HOOK_HEADERS_MAX + 1)},
        *({name: "a"} for name in ("", "a b", "a:", "ä", "a\n", "x" * 101, 7, None)),
        *(
            {"X-A": value}
            for value in (None, 7, b"a", "a\r\nX-B: b", "a\n", "a\0", "ä", "x" * (HOOK_HEADER_CHARS_MAX + 1))
        ),
        {"X-A": HIDDEN},
    ],
}
OURS = ["webhook-id", "Webhook-Timestamp", "webhook-anything", "X-Webhook-Signature", "host", "Content-Length"]
OURS += ["content-encoding", "Transfer-Encoding", "connection", "Upgrade", "TE", "expect", "Proxy-Authorization"]


def config(**more: Any) -> WebhookConfig:
    """One that is fine, but for what is said."""
    fields: dict[str, Any] = {"url": URL, "events": ["interrupt.*"], "secret": SECRET, "headers": {"X-Key": SECRET}}
    return WebhookConfig(**fields | more)


def stored(**more: Any) -> Stored:
    """What is written down of it."""
    return checked(config(**more), Scope("session", "s"), RULES)


def test_what_is_fine_is_written_down_as_it_is() -> None:
    """With the scope; what is said twice once; and no pause is longer than the longest."""
    found = stored(events=["a.b", "*", "a.b"], timeout_seconds=0.1, max_retry_delay_seconds=0, retry_delay_seconds=5)
    assert found == Stored(
        URL, ["a.b", "*"], "session", "s", SECRET, {"X-Key": SECRET}, 0.1, 3, 5, 5, 16, config().off_after_seconds
    )
    plain = checked(WebhookConfig(URL, ["*"]), Scope(), RULES)
    assert (plain.secret, plain.headers, plain.sort, plain.scope_id) == (None, {}, "", "")
    assert (plain.timeout_s, plain.retries, plain.delay_s, plain.delay_max_s) == (30, 3, 1.0, 3600.0)


@pytest.mark.parametrize("field", NUMBERS)
def test_the_least_and_the_most_are_fine(field: str) -> None:
    """Of every number."""
    least, most, whole = NUMBERS[field]
    for value in (least, most):
        said = int(value) if whole else value
        assert getattr(stored(**{"retry_delay_seconds": 0, field: said}), STORED_AS[field]) == said


@pytest.mark.parametrize("name", NAMES)
def test_names_and_beginnings_of_names_may_be_subscribed_to(name: str) -> None:
    """Of as many parts as an event may have."""
    assert stored(events=[name]).events == [name]
    assert stored(events=(name,)).events == [name]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in VALUES.items() for value in values])
def test_what_is_not_fine_is_refused_by_its_field(field: str, value: Any) -> None:
    """Whatever it is, as a refusal of the library, in a sentence."""
    with pytest.raises(ValidationError) as error:
        stored(**{field: value})
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")
    assert str(error.value).endswith((".", "good one."))


@pytest.mark.parametrize("name", OURS)
def test_headers_of_the_sender_can_not_be_given(name: str) -> None:
    """However they are spelled."""
    for spelled in (name, name.lower(), name.upper()):
        with pytest.raises(ValidationError, match=spelled) as error:
            stored(headers={spelled: "a"})
        assert error.value.field == "headers"


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "User-Agent", "Content-Type", "te-st", "x-webhook"])
def test_other_headers_can(name: str) -> None:
    """With any value that can be printed, up to the longest."""
    values = ["", "Bearer a", " \t~!", "x" * HOOK_HEADER_CHARS_MAX]
    assert [stored(headers={name: value}).headers for value in values] == [{name: value} for value in values]


def test_what_was_left_out_is_not_written_down() -> None:
    """A configuration that was told has no values of headers: who gives it back is told so."""
    with pytest.raises(ValidationError, match="X-Key was left out") as error:
        stored(headers={"X-Key": HIDDEN})
    assert error.value.field == "headers"


@pytest.mark.parametrize("no_config", [None, {}, "https://example.com", WebhookConfig])
def test_nothing_but_a_configuration_is_one(no_config: Any) -> None:
    """A dict is none."""
    with pytest.raises(ValidationError) as error:
        checked(no_config, Scope(), RULES)
    assert error.value.field == "config"


HUSHED: list[dict[str, Any]] = [
    {"url": f"http://user:{SECRET.replace(' ', '-')}@example.com/"},
    {"url": f"ftp://example.com/?token={SECRET.replace(' ', '-')}"},
    {"url": f"http://127.0.0.1/{SECRET.replace(' ', '-')}"},
    {"url": f"http://example.com/#{SECRET.replace(' ', '-')}"},
    {"secret": f"{SECRET}\n"},
    {"secret": f"whsec_{SECRET}"},
    {"secret": [SECRET]},
    {"secret": SECRET.encode()},
    {"secret": SECRET * 100},
    {"headers": {"X-Key": f"{SECRET}\n"}},
    {"headers": {"X-Key": SECRET.encode()}},
    {"headers": {"X-Key": [SECRET]}},
    {"headers": {"Host": SECRET}},
    {"headers": {"no name": SECRET}},
    {"headers": [("X-Key", SECRET)]},
    {"headers": f"X-Key: {SECRET}"},
    {"headers": {f"X-{number}": SECRET for number in range(HOOK_HEADERS_MAX + 1)}},
    *({field: values[-1]} for field, values in VALUES.items() if field not in ("secret", "headers")),
]


@pytest.mark.parametrize("more", HUSHED)
def test_no_refusal_shows_what_is_secret(more: dict[str, Any]) -> None:
    """Neither in its text nor in anything that hangs on it: what was wrong with something secret, and all the rest."""
    with pytest.raises(ValidationError) as error:
        stored(**more)
    said, fault = "", error.value
    chain: BaseException | None = fault
    while chain is not None:
        said += f"{chain} {chain!r} {chain.args} {vars(chain)} {getattr(chain, '__notes__', '')}"
        chain = chain.__cause__ or chain.__context__
    assert SECRET not in said
    assert SECRET.replace(" ", "-") not in said


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        (None, Scope()),
        ("request:r", Scope("request", "r")),
        ("session:s", Scope("session", "s")),
        ("user:u", Scope("user", "u")),
        ("r", Scope("request", "r")),
        ("req-1", Scope("request", "req-1")),
        ("other:r", Scope("request", "other:r")),
        ("Session:s", Scope("request", "Session:s")),
        ("request", Scope("request", "request")),
        (":r", Scope("request", ":r")),
        ("session:a:b", Scope("session", "a:b")),
        ("request:session:s", Scope("request", "session:s")),
        ("user: u", Scope("user", " u")),
        ("x" * ID_CHARS_MAX, Scope("request", "x" * ID_CHARS_MAX)),
    ],
)
def test_scopes_are_read_as_callers_write_them(text: str | None, scope: Scope) -> None:
    """And written so that they are read as the same."""
    assert Scope.parse(text) == scope
    assert len(str(scope)) > ID_CHARS_MAX or Scope.parse(str(scope) or None) == scope


@pytest.mark.parametrize(
    "scope",
    [
        "",
        " ",
        "session:",
        "user: ",
        "a\nb",
        "session:\x00",
        7,
        b"s",
        ["s"],
        Scope("user", "u"),
        "x" * (ID_CHARS_MAX + 1),
    ],
)
def test_what_can_be_no_scope_is_refused(scope: Any) -> None:
    """By its name."""
    with pytest.raises(ValidationError) as error:
        Scope.parse(scope)
    assert error.value.field == "scope"
