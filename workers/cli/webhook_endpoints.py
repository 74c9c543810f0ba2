"""What the commands for webhooks do with endpoints: list, show, add and remove them, switch them, change secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interrupts import ConflictError, InterruptService, NotFoundError
from interrupts.store.deliveries import Deliveries
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected, server_now
from workers.cli.screen import note, say, show_table, write_json
from workers.cli.text import moment, plain
from workers.cli.webhook_inputs import printed, read_headers, read_secret, seconds_of, tell_secret
from workers.cli.webhook_screens import (
    HEAD,
    NUMBERS,
    WHY_HEAD,
    configuration,
    counts,
    deliveries_text,
    endpoint_row,
    show_fields,
    show_results,
    verb,
    waiting_text,
    why_off,
)
from workers.settings import settings_from_environment
from workers.webhooks import Endpoint, EndpointStats, WebhookConfig, Webhooks, new_secret
from workers.webhooks.scopes import Scope
from workers.webhooks.stats import summed

LAST: Final = 10
"""Results that `show` has."""
ENDPOINTS_AT_ONCE: Final = 64


class Adding(msgspec.Struct, frozen=True):
    """What is to be registered, as it was given."""

    url: str
    events: Sequence[str]
    scope: str | None
    secret_file: str | None
    new_secret: bool
    headers: Sequence[str]
    header_file: str | None
    timeout_s: float
    retries: int
    delay_s: float
    delay_max_s: float
    concurrency: int
    off_after: str
    replace: bool

    def config(self) -> WebhookConfig:
        """The configuration. Reads files. Raises `ValidationError`."""
        return WebhookConfig(
            self.url,
            list(self.events),
            read_secret(self.secret_file),
            read_headers(self.headers, self.header_file),
            self.timeout_s,
            self.retries,
            self.delay_s,
            self.delay_max_s,
            self.concurrency,
            None if self.off_after == "never" else seconds_of("--off-after", self.off_after),
        )


async def list_webhooks(where: Where, scope: str | None, *, as_json: bool) -> Code:
    """All endpoints, or those of a scope. Raises `ValidationError`, `UnavailableError`."""
    async with connected(where) as service:
        found = await Webhooks(service).endpoints(scope, everywhere=scope is None)
        stats = await _stats(service, found)
    if as_json:
        write_json([_document(one, its) for one, its in zip(found, stats, strict=True)])
    elif found:
        some_off = any(one.off is not None for one in found)
        rows = [
            [*endpoint_row(one, its), *([why_off(one)] if some_off else [])]
            for one, its in zip(found, stats, strict=True)
        ]
        show_table((*HEAD, WHY_HEAD) if some_off else HEAD, rows, right=NUMBERS)
    else:
        note("There is no webhook." if scope is None else "There is no webhook of this scope.")
    return Code.DONE


async def add(where: Where, what: Adding, *, as_json: bool) -> Code:
    """Registers an endpoint. Raises `ValidationError`, `UnavailableError`; `ConflictError` if it is there already."""
    rules = settings_from_environment().rules
    config = what.config()
    async with connected(where) as service:
        hooks = Webhooks(service, rules)
        if not what.replace:
            url, scope = rules.check_url(config.url), str(Scope.parse(what.scope))
            for one in await hooks.endpoints(what.scope):
                if (one.url, one.scope) == (url, scope):
                    raise ConflictError(
                        f"there is this one already: {one.id}. To give it this configuration instead of the one that "
                        "it has, say --replace: without a secret it keeps its own, and another one begins a rotation."
                    )
        made = new_secret() if what.new_secret else None
        config.secret = made or config.secret
        with printed(made, as_json=as_json):
            webhook_id = await hooks.register(config, what.scope)
        one = await hooks.endpoint(webhook_id)
    if as_json:
        write_json({"webhook": one, "new_secret": made})
        return Code.DONE
    of = f" of {one.scope}" if one.scope else ""
    say(f"{one.id} is registered for {plain(' '.join(one.events) + of)}")
    if made is not None:
        tell_secret(made)
    elif not one.has_secret:
        note(f"It has no secret, so nobody can know who sends. To give it one: webhooks rotate {one.id} --new-secret")
    if one.off is not None:
        note(f"It is switched off: {plain(one.off)}. To switch it on: webhooks on {one.id}")
    return Code.DONE


async def show(where: Where, webhook_id: str, *, as_json: bool) -> Code:
    """All that is known of an endpoint. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        hooks = Webhooks(service)
        one = await hooks.endpoint(webhook_id)
        (stats,) = await _stats(service, [one])
        last = await hooks.get_delivery_results(None, LAST, webhook_id=webhook_id)
        now = await server_now(service)
    if as_json:
        write_json({**_document(one, stats), "last": last})
        return Code.DONE
    show_fields(configuration(one, now))
    say()
    show_fields(counts(stats, now))
    if last:
        say()
        show_results(last)
    return Code.DONE


async def what_is_lost(where: Where, webhook_id: str) -> str:
    """What goes with an endpoint that is removed, in words; "" if nothing. Raises `NotFoundError`."""
    async with connected(where) as service:
        stats = await Webhooks(service).stats(webhook_id)
    waiting = [f"{waiting_text(stats)} for it"] if stats.waiting else []
    kept = verb(stats.failed, "is kept", "are kept")
    failed = [f"{deliveries_text(stats.failed)} given up {kept}"] if stats.failed else []
    return f"{' and '.join(waiting + failed)}." if waiting or failed else ""


async def remove(where: Where, webhook_id: str, *, as_json: bool) -> Code:
    """Takes it away. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        removed = await Webhooks(service).unregister(webhook_id=webhook_id)
    if not removed:
        raise NotFoundError(f"There is no webhook {webhook_id[:64]!r}.")
    if as_json:
        write_json({"removed": webhook_id})
    else:
        say(f"{plain(webhook_id)} is removed, with all that waited for it")
    return Code.DONE


async def switch_on(where: Where, webhook_id: str, *, as_json: bool) -> Code:
    """Switches it on. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        hooks = Webhooks(service)
        changed = await hooks.switch_on(webhook_id)
        one, stats = await hooks.endpoint(webhook_id), await hooks.stats(webhook_id)
    if as_json:
        write_json({"changed": changed, "webhook": one})
    elif changed:
        say(f"{one.id} is on; {waiting_text(stats)} to be sent")
    else:
        say(f"{one.id} was on already")
    return Code.DONE


async def switch_off(where: Where, webhook_id: str, why: str | None, *, as_json: bool) -> Code:
    """Switches it off. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        hooks = Webhooks(service)
        changed = await (hooks.switch_off(webhook_id) if why is None else hooks.switch_off(webhook_id, why))
        one = await hooks.endpoint(webhook_id)
    if as_json:
        write_json({"changed": changed, "webhook": one})
    elif changed:
        say(f"{one.id} is off: its events wait, as far as there is room, until it is on again")
    else:
        say(f"{one.id} was off already: {plain(one.off or '')}")
    return Code.DONE


async def rotate(
    where: Where, webhook_id: str, secret_file: str | None, overlap: str, *, yes: bool, as_json: bool
) -> Code:
    """Gives it another secret, which is made if no file has it. Raises as `Webhooks.rotate_secret` does, and
    `ConflictError` while the rotation before is not over."""
    overlap_s = seconds_of("--overlap", overlap)
    given, made = read_secret(secret_file), new_secret() if secret_file is None else None
    async with connected(where) as service:
        hooks = Webhooks(service)
        until = (await hooks.endpoint(webhook_id)).rotating_until
        if until is not None and until > await server_now(service) and not yes:
            raise ConflictError(
                f"its last rotation is under way until {moment(until)}. A receiver that has not taken over the new "
                "secret of that one would refuse everything from now on. To rotate all the same, say --yes."
            )
        with printed(made, as_json=as_json):
            await hooks.rotate_secret(webhook_id, made or given or "", overlap_s=overlap_s)
        one, now = await hooks.endpoint(webhook_id), await server_now(service)
    if as_json:
        write_json({"webhook": one, "new_secret": made})
        return Code.DONE
    until = one.rotating_until
    both = f", and until {moment(until)} with the one before as well" if until is not None and until > now else ""
    say(f"{one.id} is signed with the new secret{both}")
    if made is not None:
        tell_secret(made)
    return Code.DONE


async def _stats(service: InterruptService, endpoints: Sequence[Endpoint]) -> list[EndpointStats]:
    """The counts of each."""
    deliveries, partitions = Deliveries(service.store.server, service.store.keys), range(service.log.partitions)

    async def of(one: Endpoint) -> EndpointStats:
        return summed(await asyncio.gather(*(deliveries.stats(partition, one.id) for partition in partitions)))

    found: list[EndpointStats] = []
    for at in range(0, len(endpoints), ENDPOINTS_AT_ONCE):
        found += await asyncio.gather(*map(of, endpoints[at : at + ENDPOINTS_AT_ONCE]))
    return found


def _document(one: Endpoint, stats: EndpointStats) -> dict[str, Any]:
    return {**one.to_dict(), "stats": stats}
