"""RUN/17 finds one attempt, and everything that is none is refused with file, line and the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stress.commands import CommandError
from stress.commands.replay.find import find
from stress.commands.replay.find import shown
from stress.commands.replay.recorded import read
from tests.made_records import Made

ITEM = "scenarios/linear.py::Linear[t8]"


def made(results: Path, name: str, serials: tuple[int, ...] = (2, 3), **fields: Any) -> Made:
    """Write a run with a reference and these attempts of one crew."""
    run = Made(results / name, **fields)
    run.start(ITEM, role="reference", serial=1)
    for serial in serials:
        named = run.start(ITEM, serial=serial)
        run.write(
            "attempt_end",
            **named,
            serial=serial,
            verdict="crash",
            seconds=0.5,
            headline="boom",
            signal="SIGABRT",
        )
    return run


class TestNames:
    def test_run_and_number(self, tmp_path: Path) -> None:
        made(tmp_path, "2026-11-20T0917Z-a-0001")
        found = find("2026-11-20T0917Z-a-0001/3", tmp_path, tmp_path)
        assert found.start["attempt"] == 1
        assert found.end is not None
        assert found.place == "2026-11-20T0917Z-a-0001/host-1-1000.jsonl:5"
        assert found.siblings == [2, 3]

    @pytest.mark.parametrize("text", ["latest/2", "2"])
    def test_the_newest_run_that_is_no_replay(self, tmp_path: Path, text: str) -> None:
        made(tmp_path, "2026-11-20T0917Z-a-0001")
        made(tmp_path, "2026-11-20T0918Z-a-0002")
        made(tmp_path, "2026-11-20T0919Z-a-0003", command="replay", replays="2026-11-20T0918Z-a-0002/2")
        assert find(text, tmp_path, tmp_path).name == "2026-11-20T0918Z-a-0002/2"

    def test_a_path(self, tmp_path: Path) -> None:
        made(tmp_path / "elsewhere", "run")
        assert find(f"{tmp_path}/elsewhere/run/2", tmp_path, tmp_path).serial == 2

    @pytest.mark.parametrize("text", ["run", "run/x", "", "/", "run/-1", "run/1e3", "a\n/1x"])
    def test_what_is_no_name(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(CommandError, match="expected RUN/17"):
            find(text, tmp_path, tmp_path)

    def test_no_such_run(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"no run nothing in .*--results=DIR"):
            find("nothing/1", tmp_path, tmp_path)

    def test_no_such_attempt_names_those_that_are_there(self, tmp_path: Path) -> None:
        made(tmp_path, "run")
        with pytest.raises(
            CommandError, match="run run has no attempt 99; the attempts of its crews are 2, 3"
        ):
            find("run/99", tmp_path, tmp_path)

    def test_a_spoiled_line_is_named(self, tmp_path: Path) -> None:
        run = made(tmp_path, "run")
        with run.path.open("a") as file:
            file.write('{"v":1,"kind":"attempt_start","item":7}\n')
        with pytest.raises(
            CommandError, match=r"1 of its lines cannot be used: host-1-1000\.jsonl:7: attempt_start"
        ):
            find("run/99", tmp_path, tmp_path)

    def test_two_workers_with_one_number(self, tmp_path: Path) -> None:
        run = made(tmp_path, "run", serials=(2,))
        run.start(ITEM, serial=2)
        with pytest.raises(CommandError, match="has 2 attempts 2"):
            find("run/2", tmp_path, tmp_path)

    def test_records_from_before_there_were_numbers(self, tmp_path: Path) -> None:
        Made(tmp_path / "run").attempt(ITEM)
        with pytest.raises(CommandError, match="recorded before there were any"):
            find("run/1", tmp_path, tmp_path)

    def test_a_run_that_was_cut_before_its_first_attempt(self, tmp_path: Path) -> None:
        run = Made(tmp_path / "run")
        with pytest.raises(
            CommandError, match=r"run run has no attempt 1; no attempt of a crew was started in it$"
        ):
            find("run/1", tmp_path, tmp_path)
        run.start(ITEM, role="reference", serial=1)
        with run.path.open("ab") as file:
            file.write(b'{"v":1,"kind":"att')
        with pytest.raises(
            CommandError, match="no attempt of a crew was started in it; 1 file of it ends in the middle"
        ):
            find("run/2", tmp_path, tmp_path)


class TestRead:
    def test_what_an_attempt_was(self, tmp_path: Path) -> None:
        made(tmp_path, "run")
        recorded = read(find("run/2", tmp_path, tmp_path))
        assert (recorded.item, recorded.threads, recorded.seed) == (ITEM, 8, 11)
        assert (recorded.perturb, recorded.perturb_level, recorded.readback) == ("op", "low", "every")
        assert recorded.iterations is None

    def test_when_a_cores_metal_completed(self, tmp_path: Path) -> None:
        tree: dict[str, Any] = {"device": "core", "simulated": True, "core": {"tree": "/trees/pytorch"}}
        run = made(tmp_path, "run", **tree)
        recorded = read(find("run/2", tmp_path, tmp_path))
        assert (recorded.pytorch, recorded.completion) == ("/trees/pytorch", "in_order")
        rewritten(run, "attempt_start", lambda one: one.update(completion="late_listener"))
        assert read(find("run/2", tmp_path, tmp_path)).completion == "late_listener"

    def test_a_reference_is_not_replayed(self, tmp_path: Path) -> None:
        made(tmp_path, "run")
        with pytest.raises(CommandError, match=r"run/1 is a reference run.* those are 2, 3"):
            read(find("run/1", tmp_path, tmp_path))

    @pytest.mark.parametrize(
        ("command", "told"), [("replay", "itself a replay"), ("power", "mps-stress power")]
    )
    def test_runs_of_other_commands(self, tmp_path: Path, command: str, told: str) -> None:
        made(tmp_path, "run", command=command)
        with pytest.raises(CommandError, match=told):
            read(find("run/2", tmp_path, tmp_path))


HOSTILE_STARTS: tuple[tuple[str, Any], ...] = (
    ("threads", 10**9),
    ("threads", 0),
    ("threads", -3),
    ("seed", 2**63),
    ("seed", -1),
    ("attempt", 2**40),
    ("perturb", "os.system"),
    ("readback", "../../etc"),
    ("completion", "never"),
    ("item", "scenarios/x.py::A\x1b[31m[t8]"),
    ("item", "x" * 1500),
    ("item", "scenarios/x.py::A\u2028[t8]"),
    ("env", {"LD_PRELOAD": 7}),
)
HOSTILE_SETTINGS: tuple[tuple[str, Any], ...] = (
    ("iterations", 10**12),
    ("iterations", "many"),
    ("deadline_s", 1e300),
    ("deadline_s", "soon"),
    ("streams", ["a"]),
    ("perturb", 3),
    ("trace_modules", ["os; import sys"]),
    ("trace_modules", 5),
)
HOSTILE_SIM: tuple[Any, ...] = (
    5,
    {"design": "../../x", "faults": []},
    {"design": "fork", "faults": [{"name": "nothing", "twin": False, "probability": 1, "window_us": 0}]},
    {"design": "fork", "faults": [{"name": "copy_torn"}]},
    {"design": "fork", "faults": [{"name": "copy_torn", "twin": 0, "probability": 1, "window_us": 10**12}]},
    {"design": "fork", "faults": [], "schedule": "pct:10000000000"},
    {"design": "fork;faults=copy_torn", "faults": []},
)


def rewritten(run: Made, kind: str, change: Any) -> None:
    """Change every record of a kind, as whoever sends us a record may."""
    lines = [json.loads(line) for line in run.path.read_text().splitlines()]
    for one in lines:
        if one["kind"] == kind:
            change(one)
    run.path.write_text("".join(json.dumps(one) + "\n" for one in lines))


class TestHostile:
    @pytest.mark.parametrize(("name", "value"), HOSTILE_STARTS)
    def test_start_records(self, tmp_path: Path, name: str, value: Any) -> None:
        run = made(tmp_path, "run")
        rewritten(run, "attempt_start", lambda one: one.update({name: value}))
        with pytest.raises(CommandError, match=r"host-1-1000\.jsonl:3: |cannot be used: host-1") as raised:
            read(find("run/2", tmp_path, tmp_path))
        assert str(raised.value).isprintable()

    @pytest.mark.parametrize(("name", "value"), HOSTILE_SETTINGS)
    def test_settings(self, tmp_path: Path, name: str, value: Any) -> None:
        run = made(tmp_path, "run")
        rewritten(run, "run", lambda one: one["settings"].update({name: value}))
        with pytest.raises(CommandError, match=rf"run/host-1-1000\.jsonl:1: {name}"):
            read(find("run/2", tmp_path, tmp_path))

    @pytest.mark.parametrize("sim", HOSTILE_SIM)
    def test_simulated_devices(self, tmp_path: Path, sim: Any) -> None:
        run = made(tmp_path, "run", device="sim", simulated=True)
        rewritten(run, "run", lambda one: one.update(sim=sim))
        with pytest.raises(CommandError, match=r"host-1-1000\.jsonl"):
            read(find("run/2", tmp_path, tmp_path))

    def test_a_device_that_is_none(self, tmp_path: Path) -> None:
        made(tmp_path, "run", device="/dev/sda")
        with pytest.raises(CommandError, match=r"jsonl:1: device is '/dev/sda'"):
            read(find("run/2", tmp_path, tmp_path))

    def test_a_line_of_eleven_megabytes(self, tmp_path: Path) -> None:
        run = made(tmp_path, "run")
        with run.path.open("a") as file:
            file.write('{"v":1,"kind":"attempt_start","item":"' + "x" * 11_000_000 + '"}\n')
        with pytest.raises(CommandError, match=r"jsonl:7: longer than"):
            find("run/99", tmp_path, tmp_path)

    def test_text_of_records_is_shown_harmless(self) -> None:
        assert shown("a\x1b[31mb\nc") == r"a\x1b[31mb\x0ac"
        assert len(shown("x" * 10**6)) == 300
