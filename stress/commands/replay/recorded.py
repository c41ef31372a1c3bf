"""A recorded attempt, taken from its records: every field checked, since a record may come from anybody."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TypeVar

from stress.child.perturb import MODES
from stress.commands import CommandError
from stress.commands.replay.find import OWN_COMMANDS
from stress.commands.replay.find import Found
from stress.commands.replay.find import shown
from stress.device.sim.settings import SimSettings
from stress.device.sim.settings import choose_design
from stress.device.sim.settings import parse_faults
from stress.device.sim.settings import parse_schedule
from stress.model.spec import COMPLETIONS
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.model.spec import READBACKS
from stress.order.model import LEVELS
from stress.plugin.settings import COUNT_MAX
from stress.plugin.settings import PERTURB_LEVELS
from stress.plugin.settings import SECONDS_MAX
from stress.plugin.settings import STREAMS
from stress.plugin.settings import THREADS_MAX
from stress.scenario.capabilities import CORE_OPERATORS
from stress.scenario.capabilities import DEVICES

T = TypeVar("T")

ITEM_CHARS_MAX = 1000
_PATH_CHARS_MAX = 4096
SEED_MAX = 2**63 - 1


@dataclass(frozen=True)
class Recorded:
    """One attempt as its records describe it, in values that can be used. The item's file is not looked at yet."""

    name: str
    """RUN/17."""
    folder: Path
    """Of its run."""
    serial: int
    place: str
    item: str
    role: str
    attempt: int
    root_seed: int
    seed: int
    threads: int
    iterations: int | None
    perturb: str
    perturb_level: str
    readback: str
    completion: str
    order: str
    """Level at which it checked the order of accesses; empty where it did not."""
    streams: str
    trace_modules: tuple[str, ...]
    deadline_s: float
    device: str
    sim: SimSettings | None
    pytorch: str | None
    """The source tree of a recorded core."""
    core_operators: str
    """Its operators: the tree's own, or torch's CPU kernels."""
    is_test: bool
    """It ran an ordinary test, which has no scenario: `rerun_test` runs it again."""
    test_rootdir: str
    """pytest's rootdir then, where the test file need not be below that of today: PyTorch's own."""
    env: Mapping[str, str]
    """Variables that the scenario asked for; whether it asks for them today is for the resolver to see."""
    environment: Mapping[str, str]
    """Variables of the machine that change what is tested, as they were."""
    torch: Mapping[str, Any]
    commit: str
    sys_path: tuple[str, ...]
    """Folders of the rootdir that were on `sys.path`; that they lie in it is for the resolver to see."""
    end: Mapping[str, Any] | None
    before: tuple[int, ...] = ()
    """Serials of the attempts that its process had served before."""

    @property
    def simulated(self) -> bool:
        return self.sim is not None or self.pytorch is not None


class _Reader:
    """Takes fields out of one record; refuses what they cannot be, with file and line."""

    def __init__(self, record: Mapping[str, Any], place: str) -> None:
        self.record, self.place = record, place

    def refuse(self, name: str, value: object, expected: str) -> CommandError:
        return CommandError(f"{self.place}: {name} is {shown(repr(value), 80)}: expected {expected}")

    def integer(self, name: str, low: int, high: int) -> int:
        value = self.record.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refuse(name, value, f"a whole number from {low} to {high}")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.record.get(name, default)
        if value not in choices:
            raise self.refuse(name, value, f"one of {', '.join(choices)}")
        return str(value)

    def text(self, name: str, chars_max: int) -> str:
        value = self.record.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= chars_max or _has_controls(value):
            raise self.refuse(
                name, value, f"a text of at most {chars_max} characters, none of them for control"
            )
        return value

    def variables(self, name: str) -> dict[str, str]:
        value = self.record.get(name) or {}
        if not isinstance(value, dict) or not all(
            isinstance(one, str) for pair in value.items() for one in pair
        ):
            raise self.refuse(name, value, "variables with texts")
        return value

    def checked(self, name: str, value: object, parse: Callable[[], T]) -> T:
        """Return what `parse` makes of it; a `ValueError` becomes a refusal."""
        try:
            return parse()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CommandError(f"{self.place}: {name} is {shown(repr(value), 80)}: {shown(error)}") from None


def read(found: Found) -> Recorded:
    """Return the attempt; raise `CommandError` with file and line for what cannot be, or cannot be run again."""
    start, run = _Reader(found.start, found.place), _Reader(found.run, found.run_place)
    command = found.run.get("command")
    if command is not None:
        _refuse_command(found, command)
    role = found.start["role"]
    if role == "reference":
        crew = ", ".join(map(str, found.siblings[:20])) or "none"
        raise CommandError(
            f"{found.name} is a reference run, which the attempts of its item are compared with; those are {crew}"
        )
    if str(found.start["item"]).partition("::")[0].endswith(".toml"):
        raise CommandError(
            f"{found.name} is a run of a native program under ThreadSanitizer, which mps-stress tsan repeats; its command "
            f"was {shown(found.start['command'], 500)}"
        )
    settings = _Reader(_mapping(run, "settings"), found.run_place)
    if settings.record.get("operators"):
        raise CommandError(
            f"{found.name} ran with operators of torch replaced (--mps-operator), which name code, and no code is taken "
            f"from a record; its command was {shown(found.start['command'], 500)}"
        )
    if settings.record.get("tsan"):
        raise CommandError(
            f"{found.name} ran under ThreadSanitizer, where replay does not run: what it reported need not show as a wrong "
            f"value; its command was {shown(found.start['command'], 500)}"
        )
    iterations = settings.record.get("iterations")
    modules = settings.record.get("trace_modules") or ()
    return Recorded(
        name=found.name,
        folder=found.folder,
        serial=found.serial,
        place=found.place,
        item=start.text("item", ITEM_CHARS_MAX),
        role=role,
        # A failure that was run again in a fresh process has the lots of that failure.
        attempt=start.integer("like" if "like" in start.record else "attempt", 0, COUNT_MAX),
        root_seed=run.integer("seed", 0, SEED_MAX),
        seed=start.integer("seed", 0, SEED_MAX),
        threads=start.integer("threads", 1, THREADS_MAX),
        iterations=None if iterations is None else settings.integer("iterations", 1, COUNT_MAX),
        perturb=start.choice("perturb", MODES, "none"),
        perturb_level=start.choice(
            "perturb_level", PERTURB_LEVELS, settings.choice("perturb", PERTURB_LEVELS, "off")
        ),
        readback=start.choice("readback", READBACKS, "every"),
        completion=start.choice("completion", COMPLETIONS, "in_order"),
        order=start.choice("order", ("", *LEVELS), ""),
        streams=settings.choice("streams", STREAMS, "auto"),
        trace_modules=settings.checked("trace_modules", modules, lambda: _modules(modules)),
        deadline_s=settings.checked(
            "deadline_s", settings.record.get("deadline_s"), lambda: _seconds(settings)
        ),
        device=run.choice("device", DEVICES, ""),
        sim=_sim(run) if found.run.get("device") == "sim" else None,
        pytorch=_pytorch(run) if found.run.get("device") == "core" else None,
        core_operators=_core_operators(run, found.run_place) if found.run.get("device") == "core" else "cpu",
        is_test=found.start.get("ordinary") is True,
        test_rootdir=run.text("rootdir", _PATH_CHARS_MAX) if found.run.get("command") == "upstream" else "",
        env=start.variables("env"),
        environment=_Reader(_mapping(run, "environment"), found.run_place).variables("env"),
        torch=found.run.get("torch") or {},
        commit=str((_mapping(run, "environment").get("git") or {}).get("commit", ""))[:40],
        sys_path=run.checked(
            "sys_path", found.run.get("sys_path"), lambda: _folders(found.run.get("sys_path") or ())
        ),
        end=found.end,
        before=start.checked("before", _before(found.end), lambda: _serials(_before(found.end))),
    )


def _refuse_command(found: Found, command: object) -> None:
    if command in OWN_COMMANDS:
        about = found.run.get("replays")
        raise CommandError(
            f"run {found.folder.name} is itself a {command} of {shown(about)}: name that attempt"
        )
    if command == "power":
        raise CommandError(
            f"{found.name} is an attempt of mps-stress power, whose entries no node id names; the nearest command is "
            f"{shown(found.start['command'], 500)}"
        )


def _mapping(reader: _Reader, name: str) -> Mapping[str, Any]:
    value = reader.record.get(name)
    if not isinstance(value, dict):
        raise reader.refuse(name, value, "a JSON object")
    return value


def _before(end: Mapping[str, Any] | None) -> Any:
    return end.get("before", ()) if end is not None else ()


def _serials(value: Any) -> tuple[int, ...]:
    serials = tuple(value)
    if len(serials) > COUNT_MAX or not all(type(one) is int and one > 0 for one in serials):
        raise ValueError("expected numbers of attempts")
    return serials


def _modules(value: Any) -> tuple[str, ...]:
    names = tuple(value)
    if len(names) > 100 or not all(
        isinstance(one, str) and all(part.isidentifier() for part in one.split(".")) for one in names
    ):
        raise ValueError("expected names of modules")
    return names


def _folders(value: Any) -> tuple[str, ...]:
    folders = tuple(value)
    if len(folders) > 100 or not all(isinstance(one, str) and not _has_controls(one) for one in folders):
        raise ValueError("expected names of folders")
    return folders


def _seconds(settings: _Reader) -> float:
    value = settings.record.get("deadline_s", DEADLINE_S_DEFAULT)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("expected seconds")
    if not 0 < value <= SECONDS_MAX:
        raise ValueError(f"expected seconds, more than 0 and at most {SECONDS_MAX:.0f}")
    return float(value)


def _sim(run: _Reader) -> SimSettings:
    """Return the simulated device's settings; they go through the parsers that command lines go through."""
    sim = _mapping(run, "sim")

    def parse() -> SimSettings:
        faults_text = [
            f"{one['name']}{'/twin' if one['twin'] else ''}:{float(one['probability'])!r}:{int(one['window_us'])}"
            for one in sim.get("faults") or ()
        ]
        faults = parse_faults(",".join(faults_text)) if faults_text else ()
        schedule, depth = parse_schedule(str(sim.get("schedule", "free")))
        return SimSettings(choose_design(faults, str(sim.get("design"))), faults, schedule, depth)

    return run.checked("sim", sim, parse)


def _pytorch(run: _Reader) -> str:
    """Return the source tree of a recorded core; what it holds now may be something else."""
    tree = _mapping(run, "core").get("tree")
    if not isinstance(tree, str) or not tree or len(tree) > _PATH_CHARS_MAX or _has_controls(tree):
        raise run.refuse("core", tree, "the path of a source tree")
    return tree


def _core_operators(run: _Reader, place: str) -> str:
    return _Reader(_mapping(run, "core"), place).choice("operators", CORE_OPERATORS, "cpu")


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs") for one in text)
