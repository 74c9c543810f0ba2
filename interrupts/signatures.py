"""Signatures of webhooks: what a sender adds to a request, and how a receiver knows that it is genuine and fresh.

The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` are those of Standard Webhooks 1.0.0. The id and
the time are signed too, so that a request that somebody has seen can't be sent again later, or as another one. What is
signed is `{id}.{timestamp}.{body}`: without a dot in the id, and with digits only in the timestamp, nobody can move a
piece from one part to the next. `X-Webhook-Signature` signs the body alone. It is sent for receivers that know only
this one, and never believed here.

While a secret is being replaced there are two: a request has a signature for each, and a receiver that has either of
them is served. No error shows a secret, nor does anything that hangs on one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from secrets import token_bytes
from typing import Any, Final

from interrupts.checks import check_seconds, shown
from interrupts.errors import AuthenticationError, ValidationError
from interrupts.limits import ID_CHARS_MAX

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
BODY_SIGNATURE_HEADER: Final = "X-Webhook-Signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - no secret, but how one begins
"""What follows it in a secret is base64. All other secrets are plain text."""
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
SECRET_BYTES_NEW: Final = 32
SECRET_CHARS_MIN: Final = 8
"""The shortest plain text that is taken for a secret."""
SECRET_CHARS_MAX: Final = 512
SIGNATURES_MAX: Final = 16
"""Signatures that one request may have, and secrets that it may be signed with or compared to."""
SIGNATURE_CHARS_MAX: Final = 2_048
"""All signatures of a request together, as they stand in the header."""
TOLERANCE_S: Final = 300.0
"""How far the sender's clock and this one may be apart, with the time that the request was under way."""

_V1: Final = "v1,"
_ID: Final = re.compile(r"[!-\-/-~]+")  # what can be seen in ASCII, without the dot
_TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,11}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TIME_S_MAX: Final = 10**12


def sign(body: bytes, message_id: str, timestamp_s: int, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of a request with exactly this body; without secrets only its id and time. Raises `ValidationError`.

    The newest secret comes first. `X-Webhook-Signature` is made with the last, oldest one: it has room for one
    signature, and a receiver that reads no other header learns of a new secret only after a while.
    """
    body = _check_body(body)
    if not isinstance(message_id, str) or len(message_id) > ID_CHARS_MAX or not _ID.fullmatch(message_id):
        raise ValidationError(
            f"message_id: {shown(message_id)} can't be signed. It is 1 to {ID_CHARS_MAX} characters of ASCII, without "
            "spaces and dots: a dot ends it.",
            field="message_id",
        )
    if type(timestamp_s) is not int or not 0 < timestamp_s < _TIME_S_MAX:
        raise ValidationError(
            f"timestamp_s: {shown(timestamp_s)} is no whole number of seconds since 1970.", field="timestamp_s"
        )
    headers = {ID_HEADER: message_id, TIMESTAMP_HEADER: str(timestamp_s)}
    known = _listed(secrets, least=0)
    if known:
        keys = [_known_key(secret) if isinstance(secret, str) else _key(secret) for secret in known]
        headers[SIGNATURE_HEADER] = " ".join(_signatures(body, message_id, str(timestamp_s), keys))
        of_body = hmac.digest(known[-1].encode(), body, "sha256").hex()
        headers[BODY_SIGNATURE_HEADER] = f"sha256={of_body}"
    return headers


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> None:
    """Returns if the request is genuine and was sent just now, else raises `AuthenticationError`.

    `body` are the bytes as they came in; JSON that was read and written again has others. `headers` are all of the
    request's; how their names are spelled, large or small, does not matter. Several secrets: any of them will do.
    `now` is the unix time, by default this machine's. Raises `ValidationError` for arguments that no sender can have
    caused: a body that is no bytes, a secret that is none.
    """
    body = _check_body(body)
    keys = [_key(one) for one in _listed(secret, least=1)]
    check_seconds("tolerance_s", tolerance_s)
    now_s = time.time() if now is None else _check_now(now)
    found = _find(headers)
    message_id, timestamp, signatures = (_read(found, name) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
    if len(message_id) > ID_CHARS_MAX or not _ID.fullmatch(message_id):
        raise AuthenticationError(
            f"{ID_HEADER}: {shown(message_id)} is none. It is 1 to {ID_CHARS_MAX} characters of ASCII, without spaces "
            "and dots."
        )
    if not _TIMESTAMP.fullmatch(timestamp):
        raise AuthenticationError(f"{TIMESTAMP_HEADER}: {shown(timestamp)} is no whole number of seconds since 1970.")
    _check_fresh(now_s - int(timestamp), tolerance_s)
    given = _split(signatures)
    fits = False
    for expected in _signatures(body, message_id, timestamp, keys):
        for signature in given:  # all of them, so that the time it takes says nothing about which one fits
            fits |= hmac.compare_digest(signature.encode(), expected.encode())
    if not fits:
        raise AuthenticationError(
            f"{SIGNATURE_HEADER}: no signature fits. The request was not made with this secret, or something of it was "
            "changed on the way. If all are refused, compare the secrets, and make sure that the raw bytes of the body "
            "are verified."
        )


def check_secret(secret: str) -> str:
    """A secret that can be signed with, as it was given. Raises `ValidationError`, which does not show it.

    `whsec_` and the base64 of 24 to 64 bytes, or any other text of 8 to 512 characters.
    """
    _key(secret)
    return secret


def new_secret() -> str:
    """A new random secret, in the form that Standard Webhooks has for them."""
    return SECRET_PREFIX + base64.b64encode(token_bytes(SECRET_BYTES_NEW)).decode()


def _key(secret: object) -> bytes:
    """The bytes that a secret stands for. The texts of its errors say nothing of what is in it."""
    if not isinstance(secret, str):
        raise _no_secret(f"must be text, not {type(secret).__name__}.")
    if not secret.isprintable() or secret != secret.strip():
        raise _no_secret("has a control character, broken text or white space around it. Was a line end copied along?")
    if not secret.startswith(SECRET_PREFIX):
        if not SECRET_CHARS_MIN <= len(secret) <= SECRET_CHARS_MAX:
            raise _no_secret(f"has {len(secret)} characters. It needs {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX}.")
        return secret.encode()
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text, validate=True) if _BASE64.fullmatch(text) else b""
    except binascii.Error:
        key = b""
    if base64.b64encode(key).decode() != text:  # one text for one key, and no bits that other languages would refuse
        raise _no_secret(f"begins with {SECRET_PREFIX}, and what follows is not base64. Was it copied in full?")
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise _no_secret(f"is base64 of {len(key)} bytes. It needs {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}.")
    return key


_known_key: Final = lru_cache(1_000)(_key)


def _no_secret(what: str) -> ValidationError:
    return ValidationError(f"secret: {what} `new_secret()` makes a good one.", field="secret")


def _listed(secrets: Any, least: int) -> list[str]:
    """One or several secrets, as a list. Whether they are any good, `_key` says."""
    several = isinstance(secrets, Sequence) and not isinstance(secrets, str | bytes | bytearray)
    known = list(secrets) if several else [secrets]
    if not least <= len(known) <= SIGNATURES_MAX:
        raise _no_secret(f"there are {len(known)}. There must be {least} to {SIGNATURES_MAX}.")
    return known


def _check_body(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    raise ValidationError(
        f"body: verify the raw bytes of the body, before it is decoded or read as JSON. This is {type(body).__name__}.",
        field="body",
    )


def _check_now(now: object) -> float:
    if isinstance(now, int | float) and not isinstance(now, bool) and 0 <= now < _TIME_S_MAX:  # neither is NaN
        return now
    raise ValidationError(f"now: {shown(now)} is no number of seconds since 1970.", field="now")


def _signatures(body: bytes, message_id: str, timestamp: str, keys: Sequence[bytes]) -> list[str]:
    content = b"%s.%s.%s" % (message_id.encode(), timestamp.encode(), body)
    return [_V1 + base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]


def _find(headers: object) -> dict[str, list[object]]:
    """The values of the headers that matter, under their names in small letters."""
    names = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER, BODY_SIGNATURE_HEADER.lower())
    found: dict[str, list[object]] = {name: [] for name in names}
    items = getattr(headers, "items", None)  # frameworks have mappings of their own, and not all say that they are
    if items is None:
        raise ValidationError(f"headers: must be a mapping, not {type(headers).__name__}.", field="headers")
    for name, value in items():
        if not isinstance(name, str):
            raise ValidationError(f"headers: their names must be text, not {type(name).__name__}.", field="headers")
        if name.lower() in found:
            found[name.lower()].append(value)
    return found


def _read(found: Mapping[str, list[object]], name: str) -> str:
    """The one value of a header."""
    values = found[name]
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    if values:
        what = f"is there {len(values)} times" if len(values) > 1 else f"must be text, not {type(values[0]).__name__}"
        raise AuthenticationError(f"{name}: {what}. It can't be said what was signed.")
    if found[BODY_SIGNATURE_HEADER.lower()]:
        raise AuthenticationError(
            f"{name}: is missing. There is {BODY_SIGNATURE_HEADER}, which is not enough: it signs the body alone, so "
            "whoever has seen a request could send it again at any time. Pass on all headers of the request; a proxy "
            "may have taken some away."
        )
    raise AuthenticationError(
        f"{name}: is missing. It is not known who sent this. Genuine requests have it if the endpoint has a secret; a "
        "proxy may have taken it away."
    )


def _check_fresh(age_s: float, tolerance_s: float) -> None:
    if -tolerance_s <= age_s <= tolerance_s:
        return
    what = f"{-age_s:.0f} s in the future"
    if age_s > 0:
        what = f"sent {age_s:.0f} s ago. It may be an old one that somebody sends again"
    raise AuthenticationError(
        f"{TIMESTAMP_HEADER}: the request is {what}. At most {tolerance_s:g} s are allowed. If all are refused, one of "
        "the two clocks is wrong."
    )


def _split(signatures: str) -> list[str]:
    """The signatures of a version that is known here."""
    if len(signatures) > SIGNATURE_CHARS_MAX or not signatures.isascii() or signatures.count(" ") >= SIGNATURES_MAX:
        raise AuthenticationError(
            f"{SIGNATURE_HEADER}: can't be read. It is at most {SIGNATURES_MAX} signatures in ASCII with one space "
            f"between them, {SIGNATURE_CHARS_MAX} characters in all."
        )
    return [signature for signature in signatures.split(" ") if signature.startswith(_V1)]
