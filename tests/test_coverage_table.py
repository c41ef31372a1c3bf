"""The coverage table: what records say about scenarios, what is made of it, and that the README tells it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stress.commands import cli
from stress.commands.coverage import history
from stress.commands.coverage import table
from stress.model.shipped import shipped
from stress.model.shipped import shipped_scenarios
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.scenario.scenario import Scenario

ROOT = Path(__file__).resolve().parent.parent
KEY = "one.py::One"


@pytest.fixture(scope="module")
def covered() -> list[table.Covered]:
    """Return the repository's own scenarios."""
    return table.scenarios(shipped_scenarios(), history.load(shipped("results", "coverage.toml")))


def record(
    results: Path,
    name: str,
    items: dict[str, str],
    *,
    device: str = "cpu",
    sim: dict[str, Any] | None = None,
    capabilities: Sequence[str] = (),
    attempts: Sequence[str] = (),
) -> Path:
    """Write the records of a run: item -> verdict, and the verdicts of attempts of `one.py::One`."""
    folder = RunFolder.create(results, name)
    writer = RecordWriter(folder)
    writer.write(
        "run", argv=[], rootdir="/", seed=1, device=device, simulated=sim is not None, sim=sim,
        settings={"threads": [8]}, environment={"system": "Linux", "chip": "a chip"}, torch={"version": "2.13.0"},
        capabilities=list(capabilities),
    )  # fmt: skip
    for item, verdict in items.items():
        writer.write(
            "item", item=item, verdict=verdict, seconds=1.0, attempts=1, counted=1, failures=0, verdicts={}
        )
    for number, verdict in enumerate(attempts):
        writer.write(
            "attempt_end", item="scenarios/one.py::One[t8]", role="crew", attempt=number, verdict=verdict,
            seconds=1.0, headline="",
        )  # fmt: skip
    return folder.path


def armed(name: str, probability: float, *, twin: bool = False) -> dict[str, Any]:
    fault = {"name": name, "twin": twin, "probability": probability, "window_us": 0}
    return {"design": "fork", "faults": [fault]}


class TestARunWithoutFaults:
    def test_says_which_scenarios_were_green_in_all_their_items(self, tmp_path: Path) -> None:
        items = {
            "scenarios/one.py::One[a-t8]": "pass",
            "scenarios/one.py::One[b-t8]": "interesting",
            "scenarios/two.py::Two[a-t8]": "pass",
            "scenarios/two.py::Two[b-t8]": "race",
        }
        known = history.Ran()
        known.add(record(tmp_path, "first", items))
        (run,) = known.runs
        assert run.green == (KEY,)
        assert run.other == {"two.py::Two": "race"}
        assert (run.machine, run.torch, run.threads) == ("Linux, a chip", "2.13.0", (8,))

    def test_takes_the_place_of_what_an_older_one_said(self, tmp_path: Path) -> None:
        known = history.Ran()
        known.add(record(tmp_path, "a-first", {"one.py::One[t8]": "race", "two.py::Two[t8]": "pass"}))
        known.add(record(tmp_path, "b-second", {"one.py::One[t8]": "pass"}))
        assert [(one.run, one.green, dict(one.other)) for one in known.runs] == [
            ("a-first", ("two.py::Two",), {}),
            ("b-second", (KEY,), {}),
        ]
        assert known.status(KEY, "cpu") == ("green", known.runs[1])

    def test_does_so_in_its_own_place_only(self, tmp_path: Path) -> None:
        known = history.Ran()
        for design in ("fork", "upstream"):
            sim: dict[str, Any] = {"design": design, "faults": []}
            known.add(record(tmp_path, design, {"one.py::One[t8]": "pass"}, device="sim", sim=sim))
        assert known.status(KEY, "sim", "fork") == ("green", known.runs[0])
        assert known.status(KEY, "sim", "upstream") == ("green", known.runs[1])
        assert known.status(KEY, "sim", "fork-free-list") is None

    def test_in_which_nothing_ran_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(history.RanError, match="no scenario ran to its end"):
            history.Ran().add(record(tmp_path, "empty", {}))


class TestARunWithAFault:
    def test_says_how_often_it_was_killed(self, tmp_path: Path) -> None:
        known = history.Ran()
        verdicts = ("mismatch", "pass", "mismatch", "crash")
        sim = armed("copy_torn", 0.01)
        known.add(record(tmp_path, "armed", {}, device="sim", sim=sim, attempts=verdicts))
        assert known.kills == {KEY: {"copy_torn": (2, 4)}}
        assert known.killed(KEY) == ["copy_torn"]
        assert not known.runs

    def test_is_counted_once(self, tmp_path: Path) -> None:
        known = history.Ran()
        folder = record(
            tmp_path, "armed", {}, device="sim", sim=armed("copy_torn", 0.01), attempts=["mismatch"]
        )
        known.add(folder)
        with pytest.raises(history.RanError, match="counted already"):
            known.add(folder)
        assert known.kills == {KEY: {"copy_torn": (1, 1)}}

    @pytest.mark.parametrize("sim", [armed("copy_torn", 0.5), armed("copy_torn", 0.01, twin=True)])
    def test_counts_only_the_fault_as_it_was_declared(self, tmp_path: Path, sim: dict[str, Any]) -> None:
        with pytest.raises(history.RanError):
            history.Ran().add(record(tmp_path, "armed", {}, device="sim", sim=sim, attempts=["mismatch"]))


class TestTheFile:
    def test_comes_back_as_it_was_written(self, tmp_path: Path) -> None:
        known = history.Ran()
        known.add(record(tmp_path, "one", {"one.py::One[t8]": "pass", "two.py::Two[t8]": "race"}))
        known.add(
            record(tmp_path, "two", {}, device="sim", sim=armed("copy_torn", 0.01), attempts=["mismatch"])
        )
        path = tmp_path / "coverage.toml"
        path.write_text(known.dump())
        again = history.load(path)
        assert again.dump() == known.dump()
        assert (again.runs, again.kills) == (known.runs, known.kills)

    def test_that_is_damaged_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "coverage.toml"
        path.write_text("[[run]]\nrun = 3\nunknown = 1\n")
        with pytest.raises(history.RanError, match=r"coverage\.toml is damaged"):
            history.load(path)


class One(Scenario):
    requires = ("events",)


class TestWords:
    def place(self, *runs: history.Run) -> str:
        return table.Places(history.Ran(list(runs))).of(table.Covered(KEY, One, ()))

    def run_on(self, device: str, design: str = "", **more: Any) -> history.Run:
        return history.Run(device + design, device, "2026-11-21", "", "", (8,), design, **more)

    def test_tell_where_it_ran_and_where_not(self) -> None:
        cpu = self.run_on("cpu", capabilities=("float64",), green=("other.py::Other",))
        cuda = self.run_on("cuda", capabilities=("events",), green=(KEY,))
        assert self.place(cpu, cuda) == "CUDA; CPU n/a: no events; not run on sim"

    def test_tell_designs_apart_only_where_they_differ(self) -> None:
        sims = [self.run_on("sim", design, green=(KEY,)) for design in ("fork", "fork-free-list", "upstream")]
        assert self.place(*sims) == "sim; not run on CPU, CUDA"
        assert "sim (upstream not run)" in self.place(*sims[:2])

    def test_tell_a_failure_by_its_verdict(self) -> None:
        assert "CUDA fails (race)" in self.place(self.run_on("cuda", other={KEY: "race"}))


class TestTheReadme:
    def test_is_up_to_date(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = cli.main(["coverage", "--check", f"--readme={ROOT / 'README.md'}"])
        assert status == 0, (
            capsys.readouterr().out + "for that, in the repository: mps-stress coverage --write"
        )

    def test_that_is_not_makes_the_check_fail_and_is_written_anew(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "README.md"
        shutil.copy(ROOT / "README.md", path)
        path.write_text(path.read_text().replace("| simple parallel ops |", "| something else |"))
        assert cli.main(["coverage", "--check", f"--readme={path}"]) == 1
        assert "run mps-stress coverage --write" in capsys.readouterr().out
        assert cli.main(["coverage", "--write", f"--readme={path}"]) == 0
        assert path.read_text() == (ROOT / "README.md").read_text()

    def test_without_the_marks_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "README.md").write_text("# nothing\n")
        assert cli.main(["coverage", "--check", f"--readme={tmp_path / 'README.md'}"]) == 2
        assert "put both marks" in capsys.readouterr().err


FINDS_NOTHING_KNOWN = {
    "CompiledInductor": "the simulated device, which carries the faults, has no Inductor",
    "UnlikeKernels": "pytorch#167541's subject: no two threads compile the same, so that faults strike it seldom",
}
"""Scenario -> why no seeded fault is known to be killed by it, though it stays."""


class TestTheTable:
    def test_every_scenario_kills_a_seeded_fault_or_is_a_canary(self, covered: list[table.Covered]) -> None:
        blind = {one.short for one in covered if not one.faults and not one.cls.canary}
        assert blind <= set(FINDS_NOTHING_KNOWN), (
            "run it with a fault armed (mps-stress power --explore, or pytest --mps-sim-faults), then "
            "mps-stress coverage --add RUN"
        )

    def test_has_all_thirty_rows_and_every_scenario(self, covered: list[table.Covered]) -> None:
        assert list(table.SUBJECTS) == list(range(1, 31))
        text = table.text(covered, history.Ran(), ["throughput"])
        for one in covered:
            assert text.count(f"      {one.name} (") == max(1, len(one.cls.rows))

    def test_commands_stand_for_rows_only_where_they_are_there(self) -> None:
        assert "| 26 | throughput | open |" in table.table([], history.Ran(), [])
        assert "| 26 | throughput | `mps-stress throughput` |" in table.table(
            [], history.Ran(), ["throughput"]
        )
