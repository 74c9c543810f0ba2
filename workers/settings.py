"""What a worker process is told by its environment, as one frozen struct that is right or not there at all.

A setting that can't be meant is refused at the start and by the name of its variable. So is a variable that looks like
a setting and is none: a typing error that is passed over shows weeks later, as a limit that never held.

What stands under a field is also what `--help` and README.md say of it (see `described`): it is written down once.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from interrupts import RateLimitConfig, ValidationError
from interrupts.checks import shown
from interrupts.keys import check_namespace, check_partitions
from interrupts.rates import check_count
from interrupts.store.requirements import check_durability
from interrupts.store.server import Durability
from interrupts.store.urls import parse
from workers.roles import check_roles
from workers.webhooks.rules import Rules, parse_ports

PREFIX: Final = "INTERRUPTS_"
END_TIMEOUT_S_MAX: Final = 3_600.0
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
_HANDLER: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# Kubernetes and Docker put such variables into every process beside a service that is called "interrupts…".
_ORCHESTRATOR: Final = re.compile(
    r"INTERRUPTS_(?:\w+_)?(?:SERVICE_HOST=.*|SERVICE_PORT(?:_\w+)?=.*|PORT=\w+://.*|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?=.*)",
    re.DOTALL,
)


class Settings(msgspec.Struct, frozen=True):
    """All that a worker process can be told. Raises `ValidationError`, which names the field, for what can't be meant.

    It does not show the url when it is printed: there may be a password in it.
    """

    url: str | None = None
    """where the data are, as for `connect()`; without it the private server of the folder `.interrupts`"""
    namespace: str = "interrupts"
    """which store on that server"""
    partitions: int | None = None
    """how many a new namespace gets, from 1 to 1,024; without it 16, or those that it has"""
    durability: Durability = "memory"
    """when a write counts as done: `memory`, `replicated` or `fsynced`"""
    replicas: int = 1
    """how many must have received a write that is `replicated`, from 1 to 16"""
    roles: tuple[str, ...] = ()
    """what this process does, with commas between: `projections`, `expiry`, `commands`, `reactions`, `webhooks`;
    without it all"""
    handlers: tuple[str, ...] = ()
    """whose reactions `reactions` runs, with commas between: each `module:attribute`, where an `EventBus` is"""
    creations_per_minute: int | None = None
    """how many interrupts each user may create by command; if one of these four is set, the others are as in
    `RateLimitConfig`: 60 a minute, 1,000 an hour, 10,000 a day, 10 at once; without all four there is no limit"""
    creations_per_hour: int | None = None
    """the same in an hour"""
    creations_per_day: int | None = None
    """the same in a day"""
    creations_burst: int | None = None
    """the same at once; not more than in a minute"""
    webhook_schemes: tuple[str, ...] = ("https", "http")
    """the schemes that urls of webhooks may have, with commas between"""
    webhook_ports: tuple[str, ...] = ("80", "443", "1024-65535")
    """the ports that they may have, with commas between: numbers, and ranges such as `8000-8999`"""
    webhook_networks: tuple[str, ...] = ()
    """private networks that they may be in, as CIDRs with commas between; without it they must have public addresses"""
    end_timeout_s: float = 10.0
    """seconds that what is in hand may take to be finished, once the process is asked to end; at most 3,600"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """the least important lines that are written: `debug`, `info`, `warning` or `error`"""
    log_format: Literal["text", "json"] = "text"
    """`text` for people, or `json`: an object in each line"""

    def __post_init__(self) -> None:
        if self.url is not None:
            parse(self.url)
        check_namespace(self.namespace)
        if self.partitions is not None:
            check_partitions(self.partitions)
        check_durability(self.durability, self.replicas)
        msgspec.structs.force_setattr(self, "roles", check_roles(self.roles))
        for handler in self.handlers:
            if not _HANDLER.fullmatch(handler):
                raise ValidationError(
                    f"handlers: {shown(handler)} is not a module and a name in it, such as shop.reactions:bus.",
                    field="handlers",
                )
        self._check_creations()
        _ = self.rules
        end = self.end_timeout_s
        if isinstance(end, bool) or not isinstance(end, int | float) or not 0 < end <= END_TIMEOUT_S_MAX:
            raise ValidationError(
                f"end_timeout_s: {shown(end)} is not a number of seconds, more than 0 and at most "
                f"{END_TIMEOUT_S_MAX:,.0f}.",
                field="end_timeout_s",
            )
        _check_one_of("log_level", self.log_level, LEVELS)
        _check_one_of("log_format", self.log_format, FORMATS)

    @property
    def limits(self) -> RateLimitConfig | None:
        """How many interrupts each user may create by command, if that is limited."""
        given = {
            "requests_per_minute": self.creations_per_minute,
            "requests_per_hour": self.creations_per_hour,
            "requests_per_day": self.creations_per_day,
            "burst_size": self.creations_burst,
        }
        told = {name: value for name, value in given.items() if value is not None}
        return RateLimitConfig(**told) if told else None

    @property
    def rules(self) -> Rules:
        """Where webhooks may be sent. Raises `ValidationError`."""
        try:
            return Rules(self.webhook_schemes, parse_ports(self.webhook_ports), self.webhook_networks)
        except ValidationError as error:
            field = f"webhook_{error.field}"
            raise ValidationError(str(error).replace(f"{error.field}: ", f"{field}: ", 1), field=field) from None

    def _check_creations(self) -> None:
        for field in ("creations_per_minute", "creations_per_hour", "creations_per_day", "creations_burst"):
            if getattr(self, field) is not None:
                check_count(field, getattr(self, field))
        minute = self.creations_per_minute or RateLimitConfig().requests_per_minute
        if self.creations_burst is not None and self.creations_burst > minute:
            raise ValidationError(
                f"creations_burst: {self.creations_burst} is more than the {minute} that are allowed in a minute. Give "
                "a smaller one, or allow more in a minute.",
                field="creations_burst",
            )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown_as = {"url": None if self.url is None else "…"}
        return [(field, shown_as.get(field, getattr(self, field))) for field in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


class Setting(msgspec.Struct, frozen=True):
    """A variable of the environment: its name, what holds without it, and what it says."""

    variable: str
    default: str
    what: str


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _whole(text: str) -> object:
    """A whole number; other text stays as it is, for the check to refuse."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _number(text: str) -> object:
    """A number; other text stays as it is, for the check to refuse."""
    return float(text) if re.fullmatch(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", text) else text


_READ: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "url": ("INTERRUPTS_REDIS_URL", str),
    "namespace": ("INTERRUPTS_NAMESPACE", str),
    "partitions": ("INTERRUPTS_PARTITIONS", _whole),
    "durability": ("INTERRUPTS_DURABILITY", str),
    "replicas": ("INTERRUPTS_REPLICAS", _whole),
    "roles": ("INTERRUPTS_ROLES", _list),
    "handlers": ("INTERRUPTS_HANDLERS", _list),
    "creations_per_minute": ("INTERRUPTS_CREATIONS_PER_MINUTE", _whole),
    "creations_per_hour": ("INTERRUPTS_CREATIONS_PER_HOUR", _whole),
    "creations_per_day": ("INTERRUPTS_CREATIONS_PER_DAY", _whole),
    "creations_burst": ("INTERRUPTS_CREATIONS_BURST", _whole),
    "webhook_schemes": ("INTERRUPTS_WEBHOOK_SCHEMES", _list),
    "webhook_ports": ("INTERRUPTS_WEBHOOK_PORTS", _list),
    "webhook_networks": ("INTERRUPTS_WEBHOOK_NETWORKS", _list),
    "end_timeout_s": ("INTERRUPTS_END_TIMEOUT_S", _number),
    "log_level": ("INTERRUPTS_LOG_LEVEL", str),
    "log_format": ("INTERRUPTS_LOG_FORMAT", str),
}
"""Each field's variable, and how its text is read."""
VARIABLES: Final = tuple(variable for variable, _ in _READ.values())


def settings_from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that these variables say; one that is empty counts as not set.

    Raises `ValidationError`, which names the variable, what was given and what can be given. A url is never shown.
    """
    for name, value in environ.items():
        if name.startswith(PREFIX) and name not in VARIABLES and not _ORCHESTRATOR.fullmatch(f"{name}={value}"):
            raise _unknown(name)
    given = {
        field: read(environ[variable].strip())
        for field, (variable, read) in _READ.items()
        if environ.get(variable, "").strip()
    }
    try:
        return Settings(**given)  # type: ignore[arg-type]  # what is of the wrong type is refused by it
    except ValidationError as error:
        field = error.field or ""
        variable = _READ[field][0]
        raise ValidationError(f"{variable}: {str(error).removeprefix(f'{field}: ')}", field=variable) from None


def described() -> list[Setting]:
    """All settings, for `--help` and README.md: what stands above under each field."""
    (node,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(node, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr)
            texts[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    none = Settings()
    return [Setting(variable, _default(getattr(none, field)), texts[field]) for field, (variable, _) in _READ.items()]


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _check_one_of(field: str, value: object, there: tuple[str, ...]) -> None:
    if value not in there:
        raise ValidationError(f"{field}: {shown(value)} is none. There are {', '.join(there)}.", field=field)


def _unknown(name: str) -> ValidationError:
    ends = [
        variable.removeprefix(PREFIX) for variable in VARIABLES
    ]  # what they share says nothing of how near they are
    near = difflib.get_close_matches(name.removeprefix(PREFIX), ends, n=1, cutoff=0.5)
    hint = f"Is {PREFIX}{near[0]} meant?" if near else f"There are {', '.join(VARIABLES)}."
    return ValidationError(f"{shown(name)[1:-1]}: there is no such setting. {hint}", field=name)
