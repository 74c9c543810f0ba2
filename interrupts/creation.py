"""From a caller's words to a `Create` command: everything is checked here, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, TypedDict, cast

import msgspec

from interrupts import schemas
from interrupts.checks import check_id, check_ids, check_kind, check_on_limit, check_optional_id, check_text
from interrupts.commands import Create
from interrupts.config import InterruptConfig
from interrupts.contents import created_content
from interrupts.events import CreatedContent
from interrupts.ids import keyed_id, new_command_id, new_id
from interrupts.model import InterruptKind
from interrupts.ports import Ports
from interrupts.rate_rules import RateLimits
from interrupts.terms import all_terms, fingerprint_of, settle

OnLimit = Literal["raise", "interrupt"]


class CreateOptions(TypedDict, total=False):
    """What every creator takes besides its own arguments.

    `ttl` or `ttl_seconds`: the time to live instead of the kind's. `auto_expire`: whether the deadline is enforced.
    `allowed_responses`: the fields an answer may use. `response_schema`: a JSON Schema that an answer must fit.
    `idempotency_key`: the same key in the same session gives the same interrupt, however often it is sent. `on_limit`:
    what happens where the user may not create more for now: "raise" a `RateLimitedError`, or make an "interrupt" of the
    kind `resource_exhausted` in its place, whose deadline is the time at which one more may be created.
    """

    ttl: timedelta | None
    ttl_seconds: float | None
    auto_expire: bool | None
    allowed_responses: Sequence[str] | None
    response_schema: dict[str, Any] | None
    idempotency_key: str | None
    on_limit: OnLimit | None


_UNSAID: Final = ("idempotency_key", "on_limit", "ttl", "ttl_seconds")
"""Options that do not change what is made, or are said in another way."""
_OPTIONS: Final = dict.fromkeys(CreateOptions.__annotations__).keys()


class Creation:
    """Makes commands, with one set of configurations."""

    def __init__(
        self, configs: Mapping[InterruptKind, InterruptConfig] | None, ports: Ports, limits: RateLimits | None = None
    ) -> None:
        self._ports = ports
        self.terms = all_terms(configs, limits)

    def command(
        self,
        kind: object,
        request_id: str,
        user_id: str,
        session_id: str,
        envelope_id: str | None,
        question: str | None,
        message: str | None,
        data: dict[str, Any] | None,
        options: CreateOptions,
        made_of_key: tuple[str, str] | None = None,
    ) -> tuple[Create, CreatedContent]:
        """The command, and the content as a reader will see it. Refuses, by name, what can't be stored or meant.

        `made_of_key`: the interrupt's id, as a caller has made it of the idempotency key already, and the command's.
        """
        if options:
            options = _given(options)
            check_on_limit(options.get("on_limit"))
        kind = check_kind(kind)
        check_ids(request_id, user_id, session_id)
        raw, content = created_content(check_text("question", question), check_text("message", message), data)
        trace_id, span_id = self._ports.trace_context(request_id)
        terms, key = self.terms[kind], options.get("idempotency_key")
        if len(options) > (key is not None) or envelope_id is not None or trace_id is not None or span_id is not None:
            terms = settle(
                terms,
                ttl=options.get("ttl"),
                ttl_seconds=options.get("ttl_seconds"),
                auto_expire=options.get("auto_expire"),
                allowed_responses=options.get("allowed_responses"),
                response_schema=schemas.check_schema(options.get("response_schema")),
                envelope_id=check_optional_id("envelope_id", envelope_id),
                trace_id=trace_id,
                span_id=span_id,
            )
        if key is None:
            # The id is new: it is the command's id, too, and need not be stored twice.
            return Create(new_id(session_id), kind, session_id, request_id, user_id, "", raw, terms), content
        words = _words(options)
        words["kind"] = kind
        words["request_id"] = request_id
        words["user_id"] = user_id
        words["session_id"] = session_id
        words["envelope_id"] = envelope_id
        words["content"] = content
        terms = msgspec.structs.replace(terms, fingerprint=fingerprint_of(words))
        if made_of_key is None:
            made_of_key = keyed_id(session_id, check_id("idempotency_key", key)), new_command_id()
        interrupt_id, command_id = made_of_key
        return Create(interrupt_id, kind, session_id, request_id, user_id, command_id, raw, terms), content


def _given(options: CreateOptions) -> CreateOptions:
    """The options that say something. Refuses one that does not exist, as a call with it would be."""
    if not options.keys() <= _OPTIONS:
        unknown = min(options.keys() - _OPTIONS)
        raise TypeError(f"got an unexpected keyword argument {unknown!r}; there are {', '.join(_OPTIONS)}")
    if None not in options.values():
        return options
    return cast(CreateOptions, {name: value for name, value in options.items() if value is not None})


def _words(options: CreateOptions) -> dict[str, Any]:
    """The options as the caller said them; a time to live is the same however it is said."""
    words: dict[str, Any] = {name: value for name, value in options.items() if name not in _UNSAID}
    ttl, ttl_seconds = options.get("ttl"), options.get("ttl_seconds")
    words["ttl_s"] = ttl.total_seconds() if ttl is not None else None if ttl_seconds is None else float(ttl_seconds)
    return words
