"""The benchmarks: every figure is there and readable, in the smallest sizes. How good it is, no test can say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import PAIRS_MIN
from benchmarks.parts import PARTS
from benchmarks.rates_peers import require
from benchmarks.shape import CONTENT_BYTES, content
from benchmarks.table import table
from tests.servers import wait_until

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 100
FIGURES = {
    "append": [
        "append.create_512",
        "append.respond_512",
        "append.create_lone",
        "append.memory",
        "append.growth",
    ],
    "projections": [
        "projections.fold",
        "projections.lag_ms_p50",
        "projections.lag_ms_p99",
        "projections.memory",
        "projections.page",
        "projections.page_growth",
        "projections.rebuild",
    ],
    "rates": [
        "rates.check_512",
        "rates.check_512_light",
        "rates.check_lone",
        "rates.rejected",
        "rates.memory",
        "rates.memory_light",
        "rates.accuracy",
    ],
    "workers": [
        "workers.expiry_ms_p50",
        "workers.expiry_ms_p99",
        "workers.expiry_burst",
        "workers.resume_ms_p50",
        "workers.resume_ms_p99",
        "workers.react",
        "workers.command_create",
        "workers.command_respond",
    ],
    "webhooks": [
        "webhooks.rate",
        "webhooks.latency_ms",
        "webhooks.isolation",
    ],
}
"""Names that others compare over time: they don't change."""

HOLDER = """
import sys
from benchmarks.server import BenchServer
with BenchServer() as server:
    print(server.command("INFO", "server")["process_id"], flush=True)
    sys.stdin.read()
"""


def bench(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of the benchmarks whose servers keep their files in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_every_part_has_its_figures_listed() -> None:
    """A part that is added is tried here, too."""
    assert list(FIGURES) == list(PARTS)


@pytest.mark.parametrize("part", FIGURES)
def test_a_part_prints_its_figures_as_json_and_as_a_table(part: str, tmp_path: Path) -> None:
    """Each figure is one line of JSON and one row, progress stays on stderr, and nothing is left behind."""
    ran = bench(tmp_path, ONLY=part, SCALE="0.0001")
    assert ran.returncode == 0, ran.stderr
    figures = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert [figure["figure"] for figure in figures] == FIGURES[part]
    for figure in figures:
        assert 0 < figure["low"] <= figure["ratio"] <= figure["high"]
        assert figure["ours"] > 0
        assert figure["floor"] > 0
        assert figure["pairs"] >= PAIRS_MIN
        assert {type(figure["unit"]), type(figure["target_is"])} == {str}
        assert isinstance(figure["target"], int | float)
        assert isinstance(figure["met"], bool)
        rows = [line for line in ran.stdout.splitlines() if line.startswith(f"{figure['figure']} ")]
        assert len(rows) == 1
        assert ("met" if figure["met"] else "missed") in rows[0]
        assert f"{figure['figure']}  pair 1 of" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_the_others_the_rates_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends and says how to install them: a comparison with nobody is none."""
    monkeypatch.setattr("benchmarks.rates_peers.find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"not installed: limits, throttled-py\. .* -e '\.\[bench\]'"):
        require()


def test_an_unknown_part_is_refused_with_the_names_of_the_parts(tmp_path: Path) -> None:
    """A slip of the finger is told what there is."""
    ran = bench(tmp_path, ONLY="apend")
    assert ran.returncode != 0
    assert ran.stderr.strip() == f"There is no part 'apend' of the benchmarks. There are: {', '.join(PARTS)}."


def test_a_scale_that_is_none_is_refused(tmp_path: Path) -> None:
    """Nothing runs with sizes that nobody meant."""
    assert "SCALE=big" in bench(tmp_path, SCALE="big").stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_the_benchmark_that_was_killed(tmp_path: Path) -> None:
    """Not even a SIGKILL leaves a server behind."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        server = Path("/proc", holder.stdout.readline().strip())
        assert server.exists()
        holder.kill()
    wait_until(lambda: not _alive(server), "the server ends")


def _alive(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def figure_of(ratios: Sequence[float], target: Target) -> Figure:
    """A figure whose floor is always 100."""
    return Figure("x.y", "things/s", "nothing", target, [Pair(100 * ratio, 100) for ratio in ratios])


def test_a_figure_is_the_median_of_its_pairs_and_shows_the_extremes() -> None:
    """One pair that met a bad moment moves the lowest, not the figure."""
    figure = figure_of([0.9, 0.1, 0.92, 0.95, 0.91], Target(0.9, "at least"))
    assert (figure.ratio, figure.low, figure.high) == (0.91, 0.1, 0.95)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(0.5, "at least"), True),
        (Target(0.6, "at least"), False),
        (Target(0.5, "at most"), True),
        (Target(0.4, "at most"), False),
        (Target(50, "at most", "ours"), True),
        (Target(49, "at most", "ours"), False),
    ],
)
def test_a_missed_target_is_marked(target: Target, met: bool) -> None:
    """The row says whether the target was met."""
    figure = figure_of([0.5] * 5, target)
    assert figure.met is met
    assert f"target {target.limit:g}: {'met' if met else 'missed'}" in table([figure])


def test_the_shape_is_as_large_as_it_says() -> None:
    """The memory figure is about exactly this many bytes of content."""
    assert len(content()) == CONTENT_BYTES
