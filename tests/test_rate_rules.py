"""Which limits hold at an endpoint, and what it is counted under."""

from __future__ import annotations

from typing import Any

import pytest

from interrupts import EndpointLimit, InterruptKind, RateLimitConfig, RateLimits, ValidationError
from interrupts.limits import ID_CHARS_MAX, RATE_ENDPOINTS_KNOWN_MAX, RATE_RULES_MAX
from interrupts.rate_rules import CREATE, Rule, check_limits

FEW, SOME, MANY = RateLimitConfig(5), RateLimitConfig(50), RateLimitConfig(500)


def test_without_patterns_each_endpoint_has_the_default_by_itself() -> None:
    """The contract's limits, counted under the endpoint's own name."""
    assert RateLimits().rule("/a") == Rule(RateLimitConfig(), "/a", default=True)
    assert RateLimits(FEW).rule("/b") == Rule(FEW, "/b", default=True)
    assert RateLimits(FEW, {}).default == FEW


def test_the_first_pattern_that_matches_counts() -> None:
    """In the order in which they were given, however well a later one fits."""
    limits = RateLimits(FEW, {"/api/*": SOME, "/api/search": MANY, "*": MANY})
    assert limits.rule("/api/search") == Rule(SOME, "/api/search")
    assert limits.rule("/other") == Rule(MANY, "/other")
    other = RateLimits(FEW, {"/api/search": MANY, "/api/*": SOME})
    assert (other.rule("/api/search").config, other.rule("/api/searches").config) == (MANY, SOME)
    assert other.rule("/other").default


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/a", ["/a"], ["/a/", "/A", "x/a", "/ab", "/"]),
        ("/a/*", ["/a/", "/a/b", "/a/b/c", "/a/*"], ["/a", "b/a/c"]),
        ("*/a", ["/a", "x/a", "/a/a"], ["/a/b", "a"]),
        ("/a/*/c", ["/a/b/c", "/a//c", "/a/b/b/c"], ["/a/c", "/a/b/c/d"]),
        ("*a*b*", ["ab", "xaxbx", "aabb"], ["ba", "a", "b"]),
        ("**", ["x", "*"], []),
        ("/a.c", ["/a.c"], ["/abc", "/aXc"]),
        ("/a+(b|c)[d]?{2}^$\\", ["/a+(b|c)[d]?{2}^$\\"], ["/aab", "/a+b"]),
        ("/ä/*", ["/ä/ö 漢"], ["/a/ö"]),
    ],
)
def test_a_star_stands_for_any_text_and_all_else_for_itself(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    """From the first character to the last."""
    limits = RateLimits(FEW, {pattern: MANY})
    assert [limits.rule(endpoint).config for endpoint in matching] == [MANY] * len(matching)
    assert [limits.rule(endpoint).default for endpoint in others] == [True] * len(others)


def test_a_group_counts_together_and_all_else_by_itself() -> None:
    """Endpoints of a pattern without a group are counted one by one, under the pattern's limits."""
    limits = RateLimits(FEW, {"/api/*": EndpointLimit(SOME, group="api"), "/own/*": EndpointLimit(MANY)})
    assert {limits.rule(endpoint) for endpoint in ("/api/a", "/api/b")} == {Rule(SOME, "api")}
    assert [limits.rule(endpoint).group for endpoint in ("/own/a", "/own/b", "/c")] == ["/own/a", "/own/b", "/c"]


def test_the_limits_of_a_group_are_found_by_its_name() -> None:
    """Of what is counted together, and of an endpoint that is counted by itself."""
    limits = RateLimits(FEW, {"/api/*": EndpointLimit(SOME, group="api"), "/own/*": MANY})
    assert [limits.config_of(group) for group in ("api", "/own/a", "/c", "*")] == [SOME, MANY, FEW, FEW]
    assert [limits.config_of(limits.rule(endpoint).group) for endpoint in ("/api/x", "/own/x", "x")] == [
        SOME,
        MANY,
        FEW,
    ]


def test_creations_have_an_endpoint_for_all_and_one_for_each_kind() -> None:
    """The kind's own is looked at only if a pattern names it, and once where both count together."""
    kind = InterruptKind.CONFIRMATION
    own = f"{CREATE}.{kind.value}"
    assert RateLimits(FEW).rules_of_creation(kind) == (Rule(FEW, CREATE, default=True),)
    both = RateLimits(FEW, {own: SOME}).rules_of_creation(kind)
    assert both == (Rule(FEW, CREATE, default=True), Rule(SOME, own))
    assert RateLimits(FEW, {own: SOME}).rules_of_creation(InterruptKind.CHECKPOINT) == both[:1]
    together = RateLimits(FEW, {f"{CREATE}*": EndpointLimit(SOME, group="made")})
    assert together.rules_of_creation(kind) == (Rule(SOME, "made"),)


@pytest.mark.parametrize("endpoint", ["", " ", "\t", "a\nb", "a\0", "x" * (ID_CHARS_MAX + 1), "\ud800", None, 5, b"/a"])
def test_an_endpoint_is_some_text(endpoint: Any) -> None:
    """Not too long, and nothing that could be taken for something else."""
    with pytest.raises(ValidationError, match=r"^endpoint") as refused:
        RateLimits().rule(endpoint)
    assert refused.value.field == "endpoint"


@pytest.mark.parametrize("endpoint", [["/a"], {}, {"/a"}], ids=["list", "dict", "set"])
def test_an_endpoint_that_can_not_be_looked_up_is_refused_as_well(endpoint: Any) -> None:
    """Not by an error of the dict that it would be looked up in."""
    with pytest.raises(ValidationError, match=r"^endpoint"):
        RateLimits().rule(endpoint)


@pytest.mark.parametrize(
    "endpoints",
    [
        {"": FEW},
        {"a\nb": FEW},
        {5: FEW},
        {"/a": 5},
        {"/a": None},
        {"/a": {"requests_per_minute": 5}},
        {"/a": EndpointLimit(5)},  # type: ignore[arg-type]
        {"/a": EndpointLimit(FEW, group="")},
        {"/a": EndpointLimit(FEW, group="a\nb")},
        {"/a": EndpointLimit(FEW, group=5)},  # type: ignore[arg-type]
        ["/a"],
        {f"/{number}": FEW for number in range(RATE_RULES_MAX + 1)},
    ],
)
def test_rules_that_can_not_be_meant_are_refused(endpoints: Any) -> None:
    """Patterns and groups that are no text, limits that are none, too many."""
    with pytest.raises(ValidationError, match=r"^limits: ") as refused:
        RateLimits(FEW, endpoints)
    assert refused.value.field == "limits"


@pytest.mark.parametrize("default", [5, "five", {"requests_per_minute": 5}, EndpointLimit(FEW), RateLimits()])
def test_a_default_that_is_no_config_is_refused(default: Any) -> None:
    """By the name of the argument."""
    with pytest.raises(ValidationError, match=r"^limits: must be a RateLimitConfig") as refused:
        RateLimits(default)
    assert refused.value.field == "limits"


def test_limits_as_callers_give_them() -> None:
    """By endpoint, one for all, or None; anything else is refused."""
    limits = RateLimits(FEW, {"/a": SOME})
    assert check_limits(limits) is limits
    assert check_limits(FEW).rule("/a").config == FEW
    assert check_limits(None).rule("/a").config == RateLimitConfig()
    wrongs: list[object] = [5, "5", {}, EndpointLimit(FEW), RateLimitConfig]
    for wrong in wrongs:
        with pytest.raises(ValidationError, match=r"^limits: ") as refused:
            check_limits(wrong)
        assert refused.value.field == "limits"


def test_as_many_rules_as_allowed_are_looked_at_in_order() -> None:
    """The last one counts, too."""
    limits = RateLimits(FEW, {f"/{number}/*": RateLimitConfig(number + 1) for number in range(RATE_RULES_MAX)})
    last = RATE_RULES_MAX - 1
    assert limits.rule(f"/{last}/a").config == RateLimitConfig(last + 1)


def test_what_is_remembered_of_endpoints_is_bounded() -> None:
    """Any number of endpoints may be asked for: each answer is right, and only so many are kept."""
    limits = RateLimits(FEW, {"/1*": SOME})
    for number in range(RATE_ENDPOINTS_KNOWN_MAX + 100):
        assert limits.rule(f"/{number}") is limits.rule(f"/{number}")
        assert len(limits._known) <= RATE_ENDPOINTS_KNOWN_MAX
    assert (limits.rule("/1").config, limits.rule("/2").config) == (SOME, FEW)
