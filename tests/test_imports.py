"""The house: which file may know which. Read from the imports, so that a wrong arrow fails here and not in a review."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("interrupts", "projections", "workers")  # each may import those before it, never one behind it
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES_MAX = 250
LONGER = {"interrupts.store.guardian": 300}  # runs by its path alone, so it can't be two files; a fifth is its essay

# The pure files: the standard library, msgspec and each other.
PURE = {
    *("model", "config", "errors", "ids", "keys", "positions", "commands", "events", "codec", "evolve", "decide"),
    *("refusals", "event_names"),
    *("checks", "contents", "terms", "limits", "protocols", "recorded"),
    *("views", "pages", "cursors", "merging"),
    *("rates", "rate_rules", "rate_headers", "rings", "patterns"),
}
# What of the standard library would make them depend on a clock, the system, other threads or the network.
IMPURE_LIBRARY = {
    *("time", "os", "io", "pathlib", "shutil", "tempfile", "glob", "fcntl", "random", "secrets", "uuid", "getpass"),
    *("asyncio", "threading", "multiprocessing", "concurrent", "queue", "sched", "signal", "subprocess", "select"),
    *("socket", "socketserver", "ssl", "http", "urllib", "logging", "sqlite3", "platform", "locale", "importlib"),
}
# The exceptions, each with its reason.
EXCUSED: dict[str, dict[str, str]] = {
    "ids": {
        "os": "a new id has random bits, which must not repeat after a fork",
        "time": "a new id begins with the producer's time, which only sorts and decides nothing",
    },
}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "getenv"}
CLOCKS_EXCUSED = {("model", "utc_now"): "the contract's default of created_at, for interrupts made by hand"}


def module_name(path: Path) -> str:
    """`interrupts/store/log.py` as `interrupts.store.log`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from (name.name for name in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from (f"{module}.{name.name}" for name in node.names)
            case ast.ImportFrom():
                pytest.fail(f"{path}: relative import; say the full name")


def is_inside(name: str, package: str) -> bool:
    """Whether this is the package or something in it."""
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_files_import_only_what_is_pure(name: str) -> None:
    """The standard library without clock, system and network; msgspec; each other. Nothing else, wherever in it."""
    allowed = {f"interrupts.{other}" for other in PURE}
    excused = EXCUSED.get(name, {})
    wrong = []
    for wanted in imported(ROOT / "interrupts" / f"{name}.py"):
        top = wanted.partition(".")[0]
        pure_library = top in sys.stdlib_module_names and top not in IMPURE_LIBRARY
        ours = any(is_inside(wanted, module) for module in allowed)
        if not (pure_library or ours or top == "msgspec" or top in excused):
            wrong.append(wanted)
    assert wrong == []


def asking_clocks(name: str) -> set[tuple[str, str]]:
    """The functions of a file that tell the time or read the environment."""
    tree = ast.parse((ROOT / "interrupts" / f"{name}.py").read_text())
    return {
        (name, function.name)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS
    }


@pytest.mark.parametrize("name", sorted(PURE - set(EXCUSED)))
def test_pure_files_ask_no_clock(name: str) -> None:
    """Nothing in them tells the time or reads the environment, but the excused."""
    assert asking_clocks(name) - set(CLOCKS_EXCUSED) == set()


def test_excuses_are_used() -> None:
    """An exception that nothing needs any more is taken off the list."""
    for name, reasons in EXCUSED.items():
        needed = {wanted for wanted in imported(ROOT / "interrupts" / f"{name}.py") if wanted in IMPURE_LIBRARY}
        assert set(reasons) == needed
    for name, function in CLOCKS_EXCUSED:
        assert (name, function) in asking_clocks(name)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_packages_never_import_those_behind_them(path: Path) -> None:
    """workers → projections → interrupts, never back; and no package imports what stands outside of the house."""
    own = PACKAGES.index(module_name(path).partition(".")[0])
    behind = (*PACKAGES[own + 1 :], "tests", "benchmarks", "tools")
    assert [name for name in imported(path) for package in behind if is_inside(name, package)] == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_everything_public_says_what_it_is(path: Path) -> None:
    """Every public module, class, function and method has a docstring."""
    tree = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(tree) else ["the module"]

    def look(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for child in node.body:
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not child.name.startswith("_"):
                silent.extend([] if ast.get_docstring(child) else [prefix + child.name])
                if isinstance(child, ast.ClassDef):
                    look(child, f"{child.name}.")

    look(tree, "")
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_hold_one_idea(path: Path) -> None:
    """No file is longer than a newcomer reads in one go."""
    lines = path.read_text().count("\n")
    assert lines <= LONGER.get(module_name(path), LINES_MAX)


def test_the_library_offers_what_the_contract_names() -> None:
    """The names that the contract imports are those of `interrupts`, and each that is offered is there."""
    import interrupts

    expected = {
        *("InterruptKind", "InterruptStatus", "InterruptResponse", "FlowInterrupt", "InterruptConfig"),
        *("DEFAULT_INTERRUPT_CONFIGS", "InterruptService", "InterruptServiceProtocol", "DatabaseProtocol"),
        *("WebhookServiceProtocol", "OTelAdapterProtocol", "LoggerProtocol", "NotFoundError", "ValidationError"),
        *("AuthenticationError", "AuthorizationError", "ConflictError"),
    }
    assert expected - set(interrupts.__all__) == set()
    assert [name for name in interrupts.__all__ if not hasattr(interrupts, name)] == []
