"""Signatures of webhooks: those of Standard Webhooks and of the contract, and nothing else passes."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interrupts import AuthenticationError, ValidationError
from interrupts.limits import ID_CHARS_MAX
from interrupts.signatures import (
    SECRET_CHARS_MAX,
    SIGNATURE_CHARS_MAX,
    SIGNATURES_MAX,
    TOLERANCE_S,
    check_secret,
    new_secret,
    sign,
    verify,
)

# What the reference libraries of Standard Webhooks are tested with: the Go and the JavaScript one; the Rust one.
VECTORS = [
    (
        *("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330),
        *(b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ),
    (
        *("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553),
        *(b'{"email":"test@example.com","username":"test_user"}', "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ),
]
# How the specification's own example of the header looks: a signature of another scheme beside it, and of another key.
STRANGERS = (
    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
)
CONTRACT = """
import hmac
import hashlib

expected = hmac.new(
    secret.encode(),
    request.body,
    hashlib.sha256
).hexdigest()

if not hmac.compare_digest(f"sha256={expected}", request.headers["X-Webhook-Signature"]):
    raise ValueError("Invalid signature")
"""
BODY, ID, AT = b'{"type":"interrupt.created","data":{}}', "msg_1", 1_800_000_000
OLD, NEW = "my-hmac-secret", "whsec_" + base64.b64encode(bytes(range(32))).decode()

ids = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=40)
times = st.integers(1, 10**12 - 1)
secrets = st.one_of(
    # No zero byte at the end: HMAC fills keys up with them.
    st.binary(min_size=23, max_size=63).map(lambda key: "whsec_" + base64.b64encode(key + b"\x01").decode()),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=80).filter(
        lambda text: not text.startswith("whsec_")
    ),
)


def contract_accepts(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    """Whether the contract's receiver takes this request."""
    try:
        exec(CONTRACT, {"secret": secret, "request": SimpleNamespace(body=body, headers=headers)})
    except ValueError:
        return False
    return True


def refused(body: bytes, headers: Any, secret: Any = NEW, now: float = AT) -> str:
    """What the error says."""
    with pytest.raises(AuthenticationError) as caught:
        verify(body, headers, secret, now=now)
    return str(caught.value)


@pytest.mark.parametrize(("secret", "message_id", "at", "body", "signature"), VECTORS)
def test_the_vectors_of_standard_webhooks(secret: str, message_id: str, at: int, body: bytes, signature: str) -> None:
    """What other libraries sign passes here, and they would take what is signed here."""
    signed = sign(body, message_id, at, [secret])
    assert {name: signed[name] for name in signed if name.islower()} == {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature,
    }
    verify(body, signed, secret, now=at)
    verify(body, {**signed, "webhook-signature": " ".join((*STRANGERS, signature, STRANGERS[0]))}, secret, now=at)
    assert "no signature fits" in refused(body, {**signed, "webhook-signature": " ".join(STRANGERS)}, secret, at)


@pytest.mark.parametrize("secret", [OLD, NEW, "pässwörd ☂"])
@pytest.mark.parametrize("body", [BODY, b"", b"\xff\x00\n"])
def test_the_receiver_of_the_contract(secret: str, body: bytes) -> None:
    """Its lines as they stand; a secret is used as it is written, also where it is one of Standard Webhooks."""
    headers = sign(body, ID, AT, [secret])
    assert contract_accepts(body, headers, secret)
    assert not contract_accepts(body + b" ", headers, secret)
    assert not contract_accepts(body, headers, secret + " ")


def test_a_rotation() -> None:
    """Receivers with either secret are served; those that know one header only, with the old one till the end."""
    both = sign(BODY, ID, AT, [NEW, OLD])
    alone = [sign(BODY, ID, AT, [secret])["webhook-signature"] for secret in (NEW, OLD)]
    assert both["webhook-signature"].split(" ") == alone
    for known in (NEW, OLD, [NEW], (OLD, NEW), ["another secret", OLD]):
        verify(BODY, both, known, now=AT)
    assert contract_accepts(BODY, both, OLD)
    assert not contract_accepts(BODY, both, NEW)
    after = sign(BODY, ID, AT, [NEW])
    verify(BODY, after, [NEW, OLD], now=AT)
    assert "no signature fits" in refused(BODY, after, OLD)
    assert contract_accepts(BODY, after, NEW)


def test_without_a_secret_nothing_is_signed_and_nothing_believed() -> None:
    """An endpoint without one gets an id and a time."""
    headers = sign(BODY, ID, AT, [])
    assert headers == {"webhook-id": ID, "webhook-timestamp": str(AT)}
    assert "webhook-signature: is missing" in refused(BODY, headers)


def test_a_signature_of_the_body_alone_is_not_enough() -> None:
    """It says so: such a request can be sent again at any time. Nor does it help to make up the rest."""
    signed = sign(BODY, ID, AT, [NEW])
    only = {"X-Webhook-Signature": signed["X-Webhook-Signature"]}
    assert "signs the body alone" in refused(BODY, only)
    made_up = {**sign(BODY, "msg_2", AT + 9_999, []), **only}
    assert "signs the body alone" in refused(BODY, made_up, now=AT + 9_999)


@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
def test_names_of_headers_in_any_spelling(spelled: Callable[[str], str]) -> None:
    """Each framework has its own. The same header twice is refused: it is not known which one counts."""
    headers = {spelled(name): value for name, value in sign(BODY, ID, AT, [NEW]).items()}
    verify(BODY, {"Accept": "*/*", **headers}, NEW, now=AT)
    for name, value in headers.items():
        if name.lower() != "x-webhook-signature":
            assert "2 times" in refused(BODY, {**headers, name.swapcase(): value})


@pytest.mark.parametrize("tolerance_s", [0, 0.5, 300])
def test_the_edges_of_the_tolerance(tolerance_s: float) -> None:
    """Both ways, and exactly on the edge it passes."""
    headers = sign(BODY, ID, AT, [NEW])
    for off_s in (-tolerance_s, 0, tolerance_s):
        verify(BODY, headers, NEW, tolerance_s=tolerance_s, now=AT + off_s)
    with pytest.raises(AuthenticationError, match=r"ago\..* allowed"):
        verify(BODY, headers, NEW, tolerance_s=tolerance_s, now=AT + tolerance_s + 0.001)
    with pytest.raises(AuthenticationError, match=r"in the future\..* allowed"):
        verify(BODY, headers, NEW, tolerance_s=tolerance_s, now=AT - tolerance_s - 0.001)


def test_without_a_time_the_clock_counts() -> None:
    """And five minutes, if nothing else is said."""
    assert TOLERANCE_S == 300
    verify(BODY, sign(BODY, ID, int(time.time()), [NEW]), NEW)
    for off_s in (-2 * TOLERANCE_S, 2 * TOLERANCE_S):
        with pytest.raises(AuthenticationError, match="webhook-timestamp"):
            verify(BODY, sign(BODY, ID, int(time.time() + off_s), [NEW]), NEW)


@given(body=st.binary(), message_id=ids, at=times, known=st.lists(secrets, min_size=1, max_size=4, unique=True))
def test_what_was_signed_passes(body: bytes, message_id: str, at: int, known: list[str]) -> None:
    """With each of the secrets, and the contract's receiver takes it with the last one."""
    headers = sign(body, message_id, at, known)
    for secret in known:
        verify(body, headers, secret, now=at)
    assert contract_accepts(body, headers, known[-1])


@given(data=st.data(), body=st.binary(), message_id=ids, at=times, secret=secrets)
def test_any_change_is_refused(data: st.DataObject, body: bytes, message_id: str, at: int, secret: str) -> None:
    """Of the body, of each header, or of the secret: one character put in, taken out or changed."""
    headers = sign(body, message_id, at, [secret])
    what = data.draw(st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature", "secret"]))
    whole = {**headers, "body": body.decode("latin-1"), "secret": secret}[what]
    where = data.draw(st.integers(0, len(whole)))
    put = data.draw(st.characters(max_codepoint=255) | st.just(""))
    changed = whole[:where] + put + whole[where + data.draw(st.integers(0, 1)) :]
    assume(changed.strip(" ") != whole)  # spaces around the signatures do no harm
    now = int(changed) if what == "webhook-timestamp" and changed.isascii() and changed.isdecimal() else at
    if what == "body":
        refused(changed.encode("latin-1"), headers, secret, now)
    elif what == "secret":
        with pytest.raises((AuthenticationError, ValidationError)):
            verify(body, headers, changed, now=now)
    else:
        refused(body, {**headers, what: changed}, secret, min(now, 10**12 - 1))


def test_no_piece_can_be_moved_from_one_part_to_the_next() -> None:
    """The same bytes are signed, cut elsewhere: a dot in an id is refused, on both sides."""
    headers = sign(b"1800000001.{}", ID, AT, [NEW])
    assert "webhook-id" in refused(b"{}", {**headers, "webhook-id": f"{ID}.{AT}", "webhook-timestamp": "1800000001"})
    with pytest.raises(ValidationError, match="message_id"):
        sign(b"{}", f"{ID}.{AT}", 1_800_000_001, [NEW])


TIMES = [
    *("", "0", "-1", "+1800000000", "1800000000.0", "1.8e9", " 1800000000", "1800000000\n", "1_800_000_000", "nan"),
    *("01800000000", "1800000000000", "\uff118\uff10\uff10000000"),
]


@pytest.mark.parametrize("wrong", TIMES)
def test_a_timestamp_is_a_whole_number(wrong: str) -> None:
    """In one spelling only, whatever else Python reads as a number; and milliseconds are none."""
    assert "whole number" in refused(BODY, {**sign(BODY, ID, AT, [NEW]), "webhook-timestamp": wrong})


NAMES = ["webhook-id", "Webhook-Timestamp", "webhook-signature", "X-Webhook-Signature", "x"]
VALUES = st.text() | st.sampled_from([ID, str(AT), "v1,", "v1,\ud800"]) | st.none() | st.binary()


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_garbage_in_headers_is_a_refusal(headers: dict[str, Any]) -> None:
    """And no other error: a stranger wrote them. The same with garbage in some, while the others are right."""
    refused(BODY, headers)
    with contextlib.suppress(AuthenticationError):
        verify(BODY, sign(BODY, ID, AT, [NEW]) | headers, NEW, now=AT)


def test_headers_are_bounded() -> None:
    """As long as an id may be, and as many signatures; one more is refused, although the right one is among them."""
    long = sign(BODY, "x" * ID_CHARS_MAX, AT, [NEW])
    verify(BODY, long, NEW, now=AT)
    assert "webhook-id" in refused(BODY, {**long, "webhook-id": "x" * (ID_CHARS_MAX + 1)})
    right = long["webhook-signature"]
    many = " ".join(["v1,A"] * (SIGNATURES_MAX - 1) + [right])
    verify(BODY, {**long, "webhook-signature": many}, NEW, now=AT)
    for wrong in (f"v1,A {many}", f"{right} v1,{'A' * SIGNATURE_CHARS_MAX}"):
        assert "can't be read" in refused(BODY, {**long, "webhook-signature": wrong})
    keys = [new_secret() for _ in range(SIGNATURES_MAX)]
    verify(BODY, sign(BODY, ID, AT, keys), keys[-1], now=AT)


def base64_of(count: int) -> str:
    """A secret of so many bytes, of which all but the end is `ZZZZ…`."""
    return "whsec_" + base64.b64encode(b"\x65\x96\x59" * (count // 3) + b"e" * (count % 3)).decode()


def whole_chain(error: BaseException | None) -> str:
    """All that can be read off an error, and off those that it hides."""
    return f"{error} {error!r} {whole_chain(error.__cause__)} {whole_chain(error.__context__)}" if error else ""


SECRETS: list[Any] = [
    *(None, 12_345_678, b"ZZZZ-in-bytes", ["ZZZZZZZZ", "ZZZZZZZZ"], "", "ZZZZ-17", "Z" * (SECRET_CHARS_MAX + 1)),
    *("ZZZZ-line\n", " ZZZZ-space", "ZZZZ-\x07-bell", "ZZZZ-\ud800-half", "whsec_", "whsec_" + "ZZZé" * 8),
    *(base64_of(23), base64_of(65), base64_of(32).rstrip("="), base64_of(31) + "=", base64_of(30) + " "),
    *("whsec_ZZZZ-no-base64", base64_of(25)[:-3] + "R=="),
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_no_secret_is_refused_and_not_shown(secret: Any) -> None:
    """Neither in what the error says, nor in an error that it hides."""
    uses: list[Callable[[], Any]] = [
        lambda: check_secret(secret),
        lambda: sign(BODY, ID, AT, [secret]),
        lambda: verify(BODY, sign(BODY, ID, AT, [NEW]), [NEW, secret], now=AT),
    ]
    for use in uses:
        with pytest.raises(ValidationError, match=r"^secret: ") as caught:
            use()
        assert caught.value.field == "secret"
        assert "ZZZ" not in whole_chain(caught.value)


def test_what_is_a_secret() -> None:
    """As it was given; and a new one each time."""
    for secret in (OLD, NEW, "x" * 8, "x" * SECRET_CHARS_MAX, base64_of(24), base64_of(64), new_secret()):
        assert check_secret(secret) == secret
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}


FAR: list[Any] = [float("nan"), float("inf"), -1, "1", True, 10**400]
MANY = [NEW] * (SIGNATURES_MAX + 1)
SIGNING: dict[str, list[Any]] = {
    "body": ["{}", {"type": "x"}, None, bytearray(b"{}")],
    "message_id": ["", "a b", "a.b", "é", "a\n", 5, None, "x" * (ID_CHARS_MAX + 1)],
    "timestamp_s": [0, 1.5, None, AT * 1000, *FAR],
    "secret": [None, "", b"", MANY],
}
VERIFYING: dict[str, list[Any]] = {
    "body": SIGNING["body"],
    "headers": [None, [("webhook-id", ID)], {b"webhook-id": b""}],
    "secret": [None, "", b"", MANY, [], ()],
    "tolerance_s": [*FAR, None],
    "now": [*FAR, AT * 1000],
}


@pytest.mark.parametrize("field", SIGNING)
def test_what_can_not_be_signed(field: str) -> None:
    """It is refused by the argument's name."""
    for wrong in SIGNING[field]:
        call: dict[str, Any] = {"body": BODY, "message_id": ID, "timestamp_s": AT, "secret": [NEW], field: wrong}
        with pytest.raises(ValidationError, match=rf"^{field}: ") as caught:
            sign(*call.values())
        assert caught.value.field == field


@pytest.mark.parametrize("field", VERIFYING)
def test_what_no_sender_can_have_caused_is_another_error(field: str) -> None:
    """It names the argument: this is to be put right where it is called."""
    for wrong in VERIFYING[field]:
        call: dict[str, Any] = {"body": BODY, "headers": sign(BODY, ID, AT, [NEW]), "secret": NEW, "now": AT}
        with pytest.raises(ValidationError, match=rf"^{field}: ") as caught:
            verify(**{**call, field: wrong})
        assert caught.value.field == field
        assert ("verify the raw bytes of the body" in str(caught.value)) == (field == "body")
