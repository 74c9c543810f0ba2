"""The settings of a worker: what the environment says is taken over exactly, or refused by name."""

from __future__ import annotations

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from interrupts import RateLimitConfig, ValidationError
from tests.test_readme import rows
from workers.settings import VARIABLES, Settings, described, settings_from_environment
from workers.webhooks import Rules

SECRET = "hunter2"


def test_without_a_word_the_defaults_hold() -> None:
    """Variables of others are nobody's business, and an empty one counts as not set."""
    assert settings_from_environment({}) == Settings()
    assert (
        settings_from_environment({"PATH": "/bin", "INTERRUPTS_PARTITIONS": "", "INTERRUPTS_ROLES": " "}) == Settings()
    )
    assert Settings().limits is None


def test_everything_that_can_be_said_arrives() -> None:
    """Each variable is read, in its own form."""
    told = {
        "INTERRUPTS_REDIS_URL": "redis://h:1/2",
        "INTERRUPTS_NAMESPACE": "n",
        "INTERRUPTS_PARTITIONS": "4",
        "INTERRUPTS_DURABILITY": "replicated",
        "INTERRUPTS_REPLICAS": "2",
        "INTERRUPTS_ROLES": "reactions, projections,projections",
        "INTERRUPTS_HANDLERS": "shop.reactions:bus, mail:all.of_them",
        "INTERRUPTS_CREATIONS_PER_MINUTE": "50",
        "INTERRUPTS_CREATIONS_PER_HOUR": "60",
        "INTERRUPTS_CREATIONS_PER_DAY": "70",
        "INTERRUPTS_CREATIONS_BURST": "5",
        "INTERRUPTS_WEBHOOK_SCHEMES": "https",
        "INTERRUPTS_WEBHOOK_PORTS": "443, 8000-8999",
        "INTERRUPTS_WEBHOOK_NETWORKS": "10.0.0.0/8,127.0.0.0/8",
        "INTERRUPTS_END_TIMEOUT_S": "2.5",
        "INTERRUPTS_LOG_LEVEL": "warning",
        "INTERRUPTS_LOG_FORMAT": "json",
    }
    assert set(told) == set(VARIABLES)
    assert settings_from_environment(told) == Settings(
        url="redis://h:1/2",
        namespace="n",
        partitions=4,
        durability="replicated",
        replicas=2,
        roles=("projections", "reactions"),
        handlers=("shop.reactions:bus", "mail:all.of_them"),
        creations_per_minute=50,
        creations_per_hour=60,
        creations_per_day=70,
        creations_burst=5,
        webhook_schemes=("https",),
        webhook_ports=("443", "8000-8999"),
        webhook_networks=("10.0.0.0/8", "127.0.0.0/8"),
        end_timeout_s=2.5,
        log_level="warning",
        log_format="json",
    )
    assert settings_from_environment(told).limits == RateLimitConfig(50, 60, 70, 5)
    assert settings_from_environment(told).rules == Rules(
        ("https",), ((443, 443), (8000, 8999)), ("10.0.0.0/8", "127.0.0.0/8")
    )


def test_one_limit_brings_the_usual_ones_along() -> None:
    """As with `RateLimitConfig` in a program."""
    assert Settings(creations_per_minute=3).limits == RateLimitConfig(requests_per_minute=3)


@pytest.mark.parametrize(
    ("variable", "given", "can_be"),
    [
        ("INTERRUPTS_REDIS_URL", "http://h", "redis://host"),
        ("INTERRUPTS_NAMESPACE", "a b", "letters, digits"),
        ("INTERRUPTS_PARTITIONS", "many", "from 1 to 1024"),
        ("INTERRUPTS_WEBHOOK_SCHEMES", "ftp", "https"),
        ("INTERRUPTS_WEBHOOK_PORTS", "http", "8000-8999"),
        ("INTERRUPTS_WEBHOOK_NETWORKS", "10.0.0.1/8", "10.0.0.0/8"),
        ("INTERRUPTS_PARTITIONS", "0", "from 1 to 1024"),
        ("INTERRUPTS_PARTITIONS", "9" * 5_000, "from 1 to 1024"),
        ("INTERRUPTS_PARTITIONS", "٣", "from 1 to 1024"),
        ("INTERRUPTS_DURABILITY", "some", "'fsynced'"),
        ("INTERRUPTS_REPLICAS", "1.5", "from 1 to 16"),
        ("INTERRUPTS_ROLES", "projections,projector", "projections, expiry, commands, reactions"),
        ("INTERRUPTS_HANDLERS", "shop.reactions", "shop.reactions:bus"),
        ("INTERRUPTS_HANDLERS", "shop/reactions.py:bus", "shop.reactions:bus"),
        ("INTERRUPTS_CREATIONS_PER_MINUTE", "-1", "from 1 to"),
        ("INTERRUPTS_CREATIONS_PER_HOUR", "0", "from 1 to"),
        ("INTERRUPTS_CREATIONS_PER_DAY", "x", "from 1 to"),
        ("INTERRUPTS_CREATIONS_BURST", "61", "the 60 that are allowed in a minute"),
        ("INTERRUPTS_END_TIMEOUT_S", "0", "more than 0 and at most 3,600"),
        ("INTERRUPTS_END_TIMEOUT_S", "nan", "more than 0 and at most 3,600"),
        ("INTERRUPTS_END_TIMEOUT_S", "1e9", "more than 0 and at most 3,600"),
        ("INTERRUPTS_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("INTERRUPTS_LOG_FORMAT", "xml", "text, json"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, given: str, can_be: str) -> None:
    """With the variable, what was given (unless it is a url), and what can be given, on one line of bounded length."""
    with pytest.raises(ValidationError) as refused:
        settings_from_environment({variable: given})
    said = str(refused.value)
    assert refused.value.field == variable
    assert said.startswith(f"{variable}: ")
    assert can_be in said
    assert given.rpartition(",")[2][:20] in said or variable == "INTERRUPTS_REDIS_URL"
    assert len(said) < 400
    assert "\n" not in said


@pytest.mark.parametrize(
    "url", [f"redis://u:{SECRET}@h/x", f"redis://u:{SECRET}@h:port", f"redis+cluster://:{SECRET}@/", f"{SECRET}@h"]
)
def test_a_password_is_never_shown(url: str) -> None:
    """Not in a refusal, and not where the settings are printed."""
    with pytest.raises(ValidationError) as refused:
        settings_from_environment({"INTERRUPTS_REDIS_URL": url})
    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__
    good = Settings(url=f"redis://u:{SECRET}@h/1")
    out = StringIO()
    Console(file=out).print(good)
    assert SECRET not in repr(good) + f"{good}" + out.getvalue()
    assert good.url is not None


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("INTERRUPTS_ROLE", "INTERRUPTS_ROLES"),
        ("INTERRUPTS_NAMSPACE", "INTERRUPTS_NAMESPACE"),
        ("INTERRUPTS_REDIS_URI", "INTERRUPTS_REDIS_URL"),
        ("INTERRUPTS_CREATION_PER_MINUTE", "INTERRUPTS_CREATIONS_PER_MINUTE"),
        ("INTERRUPTS_END_TIMEOUT", "INTERRUPTS_END_TIMEOUT_S"),
    ],
)
def test_a_setting_that_there_is_not_is_refused(mistyped: str, meant: str) -> None:
    """And the one that is meant is named. Its value is not shown: who knows what it is."""
    with pytest.raises(ValidationError) as refused:
        settings_from_environment({mistyped: SECRET})
    assert refused.value.field == mistyped
    assert f"Is {meant} meant?" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_setting_that_is_like_none_is_refused_with_all_there_are() -> None:
    """Nothing is guessed from far away."""
    with pytest.raises(ValidationError, match=r"There are INTERRUPTS_REDIS_URL, .*INTERRUPTS_LOG_FORMAT"):
        settings_from_environment({"INTERRUPTS_ZZZZ": "1"})


def test_what_an_orchestrator_puts_there_is_passed_over() -> None:
    """A service called `interrupts` gives every process beside it variables that look like settings."""
    stem = "INTERRUPTS_GATEWAY_"
    told = {
        "INTERRUPTS_SERVICE_HOST": "10.0.0.1",
        "INTERRUPTS_PORT": "tcp://10.0.0.1:80",
        f"{stem}SERVICE_HOST": "10.0.0.1",
        f"{stem}SERVICE_PORT": "80",
        f"{stem}SERVICE_PORT_HTTP": "80",
        f"{stem}PORT": "tcp://10.0.0.1:80",
        f"{stem}PORT_80_TCP": "tcp://10.0.0.1:80",
        f"{stem}PORT_80_TCP_PROTO": "tcp",
    }
    assert settings_from_environment(told) == Settings()
    with pytest.raises(ValidationError):
        settings_from_environment({"INTERRUPTS_PORT": "80"})


def test_settings_made_by_a_program_are_checked_as_well() -> None:
    """By the name of the field, and also where one is replaced."""
    with pytest.raises(ValidationError, match=r"^namespace: "):
        msgspec.structs.replace(Settings(), namespace="a b")
    with pytest.raises(AttributeError):
        Settings().namespace = "b"  # type: ignore[misc]


def test_readme_tells_them_all() -> None:
    """Each with what holds without it, in the words of the code."""
    table = [[each.variable, each.default, each.what] for each in described()]
    assert [[row[0].strip("`"), *row[1:]] for row in rows("Settings of the worker")] == table
    assert [row[0] for row in table] == list(VARIABLES)
    assert all(row[2] for row in table)
