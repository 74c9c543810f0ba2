"""The defaults of each kind: those of the contract, line by line, and a caller's own in their place."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interrupts import DEFAULT_INTERRUPT_CONFIGS, InterruptConfig, InterruptKind, InterruptService, ValidationError
from interrupts.config import WEBHOOK_EVENT_OF_KIND, merged
from interrupts.terms import default_terms

# The contract's table: time to live, enforced, answer required, webhook event, fields of an answer.
CONTRACT: dict[str, tuple[timedelta | None, bool, bool, str, list[str]]] = {
    "clarification": (timedelta(hours=24), True, True, "interrupt.clarification_needed", ["text"]),
    "confirmation": (timedelta(hours=1), True, True, "interrupt.confirmation_needed", ["approved"]),
    "agent_review": (timedelta(minutes=30), True, True, "interrupt.agent_review", ["decision"]),
    "checkpoint": (None, False, False, "interrupt.checkpoint", []),
    "resource_exhausted": (timedelta(minutes=5), True, False, "interrupt.resource_exhausted", []),
    "timeout": (timedelta(minutes=5), True, False, "interrupt.timeout", []),
    "system_error": (timedelta(hours=1), True, False, "interrupt.system_error", []),
}


class Listener:
    """A webhook port that notes the names that it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def emit_event(self, event_type: str, data: dict[str, Any], request_id: str | None = None) -> int:
        """Notes the name."""
        self.heard.append(event_type)
        return 1


@pytest.mark.parametrize("kind", CONTRACT)
def test_the_default_of_each_kind_is_the_contracts(kind: str) -> None:
    """Each line of the default table says what the contract's says."""
    expected = InterruptConfig(*CONTRACT[kind])
    assert expected == DEFAULT_INTERRUPT_CONFIGS[InterruptKind(kind)]


def test_there_are_seven_kinds_and_each_has_a_default() -> None:
    """No kind without a default, no default without a kind, nothing that the contract does not know."""
    assert set(CONTRACT) == {kind.value for kind in InterruptKind}
    assert set(InterruptKind) == set(DEFAULT_INTERRUPT_CONFIGS)


def test_a_config_of_no_words_is_the_contracts() -> None:
    """No deadline, enforced if there is one, an answer required, the general event, any field; no list is shared."""
    expected = InterruptConfig(None, True, True, "interrupt.created", [])
    assert expected == InterruptConfig()
    InterruptConfig().allowed_responses.append("text")
    assert expected == InterruptConfig()


def test_an_own_config_takes_the_place_of_its_kind_and_no_other() -> None:
    """Merging is by kind: one is replaced as a whole, the others and the default table stay as they are."""
    own = InterruptConfig(default_ttl=timedelta(hours=48))
    before = dict(DEFAULT_INTERRUPT_CONFIGS)
    assert before | {InterruptKind.CLARIFICATION: own} == merged({InterruptKind.CLARIFICATION: own})
    assert before == DEFAULT_INTERRUPT_CONFIGS == merged(None) == merged({})


def test_an_own_config_may_be_named_by_the_kinds_old_name() -> None:
    """`critic_review` is read as `agent_review` here, too."""
    own = InterruptConfig(default_ttl=timedelta(hours=48))
    configs: Any = {"critic_review": own}
    assert own == merged(configs)[InterruptKind.AGENT_REVIEW]


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_a_config_left_at_its_default_event_announces_its_kind(kind: InterruptKind) -> None:
    """A creation is announced by the name of its kind, unless its config says another one."""

    async def main() -> None:
        for config, expected in (
            (None, CONTRACT[kind][3]),
            (InterruptConfig(), CONTRACT[kind][3]),
            (InterruptConfig(webhook_event="house.own"), "house.own"),
        ):
            listener = Listener()
            configs = None if config is None else {kind: config}
            service = InterruptService(webhook_service=listener, configs=configs)
            await service.create_interrupt(kind, "r", "u", "s")
            await service.aclose()
            assert [expected] == listener.heard

    asyncio.run(main())


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_the_kinds_own_event_is_not_stored_with_each_interrupt(kind: InterruptKind) -> None:
    """Stored terms carry a webhook event only where it is not the kind's; the kinds' names are the contract's."""
    assert CONTRACT[kind][3] == WEBHOOK_EVENT_OF_KIND[kind]
    assert default_terms(kind, InterruptConfig()).webhook_event is None
    assert default_terms(kind, DEFAULT_INTERRUPT_CONFIGS[kind]).webhook_event is None
    assert default_terms(kind, InterruptConfig(webhook_event="house.own")).webhook_event == "house.own"


UNUSABLE: list[tuple[Any, Any]] = [
    ("timeout", InterruptConfig(default_ttl=timedelta(0))),
    ("timeout", InterruptConfig(default_ttl=timedelta(days=-1))),
    ("timeout", InterruptConfig(default_ttl=timedelta.max)),
    ("timeout", InterruptConfig(allowed_responses=["yes"])),
    ("timeout", {"default_ttl": timedelta(hours=1)}),
    ("timeout", None),
    ("nonsense", InterruptConfig()),
    (None, InterruptConfig()),
]


@pytest.mark.parametrize(("kind", "config"), UNUSABLE)
def test_a_config_that_cannot_be_meant_is_refused_at_once(kind: Any, config: Any) -> None:
    """A service is not made with it, and the refusal names the kind."""
    with pytest.raises(ValidationError, match=f"configs.*{kind}") as refusal:
        InterruptService(configs={kind: config})
    assert refusal.value.field == "configs"


def test_defaults_decide_what_is_created() -> None:
    """A created interrupt has the deadline and the answer fields of its kind's config, own or default."""
    own = InterruptConfig(default_ttl=timedelta(seconds=90), allowed_responses=["decision", "data"])

    async def main() -> None:
        service = InterruptService(configs={InterruptKind.TIMEOUT: own})
        for kind, config in merged({InterruptKind.TIMEOUT: own}).items():
            made = await service.create_interrupt(kind, "r", "u", "s")
            ttl = None if made.expires_at is None else made.expires_at - made.created_at
            assert (config.default_ttl, config.allowed_responses) == (ttl, made.allowed_responses)
        await service.aclose()

    asyncio.run(main())
