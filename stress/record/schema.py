"""The schema of records: eight kinds of JSON objects, one per line, each with the schema version.

A reader keeps unknown keys, skips unknown kinds and refuses a version it does not know, so a new version
is needed only when the meaning of an existing field changes. `results/README.md` describes the same for
other readers. Times are seconds since 1970 (UTC), durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import re
from typing import Annotated
from typing import Literal
from typing import NotRequired
from typing import TypedDict
from typing import get_args

SCHEMA_VERSION = 1

Kind = Literal["run", "attempt_start", "attempt_end", "item", "journal", "measurement", "totals", "run_end"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Role = Literal["crew", "control", "reference", "fresh"]
"""Who ran in the child: the crew, the one-thread control of a failing item, the sequential references, or the crew again,
in a process of its own, because it has failed: in one that had served others, or in an earlier run (`repeats`)."""

SideFile = Annotated[str, "side file"]
"""Plain name of a file beside the record: stderr, stacks, a copied crash report. See `side_name_error`."""

VerdictName = Annotated[str, "verdict"]
"""A value of `stress.model.verdict.Verdict`."""

SIDE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


class Common(TypedDict):
    v: int
    """Version of this description. It changes only when a meaning changes."""
    run: str
    """Run id, equal in all records of one pytest run, whatever process wrote them."""
    time: float
    """When the record was written."""
    lost: NotRequired[int]
    """Records that this process has been unable to write (disk full). Absent means none."""
    truncated: NotRequired[list[str]]
    """What was cut to keep the line below 64 kB, one text per place."""


class RunRecord(Common):
    """Written once by each process that writes records, before anything else."""

    kind: Literal["run"]
    argv: list[str]
    rootdir: str
    sys_path: NotRequired[list[str]]
    """Folders below the rootdir, and relative to it, from which pytest imported: what a scenario imports may be there."""
    seed: int
    """Root seed: every other seed follows from it and the item."""
    device: str
    device_reason: NotRequired[str]
    simulated: bool
    """True on the simulated device and on core: such a record proves the framework, never a real backend."""
    sim: NotRequired[dict[str, object] | None]
    """The simulated device: `design`, `faults` that are switched on, `schedule`, and its `library` with its SHA-256 and the
    dispatch `key`; null for other devices."""
    core: NotRequired[dict[str, object] | None]
    """The PyTorch tree whose own MPS core ran: `tree`, `version`, `commit`, files that differ (`dirty`, `patch`,
    `half_applied`), `content`, the `library` with its SHA-256, and whose `operators` served (`cpu_families`: those that were
    not the tree's); null for other devices."""
    settings: dict[str, object]
    """Options in force."""
    environment: dict[str, object]
    """Machine, system, Python, checkout, and the environment variables that change what is tested."""
    capabilities: NotRequired[list[str]]
    """What the device can do, by the names in `stress/scenario/capabilities.py`."""
    torch: NotRequired[dict[str, object] | None]
    """The exact torch build, as a child found it; null where that child failed."""
    torch_mismatches: NotRequired[list[str]]
    """Why this torch is not the requested build, when the user overrode that error."""
    tsan: NotRequired[dict[str, object] | None]
    """With `--mps-tsan`: compiler, runtime, options, and, if silence proves nothing, the reason as `problem`."""
    harness: NotRequired[dict[str, object]]
    """The native program under ThreadSanitizer: its SHA-256, compiler, options (`options_given`: the user's own), `platform`
    (real Metal or simulated), what is instrumented, suppressions, and, if no result of it can be trusted, why (`reasons`)."""
    worker: NotRequired[str | None]
    """pytest-xdist worker that wrote this, such as "gw0"."""


class AttemptStart(Common):
    """On disk (fsync) before the child exists: a start without an end is a panic or a killed parent."""

    kind: Literal["attempt_start"]
    item: str
    """pytest node id. (item, role, attempt) names an attempt within its run."""
    role: Role
    """`crew` (N threads), `control` (the same work on one thread), `reference` (the sequential runs), or `fresh` (the crew
    again, in a process of its own, because it has failed: in one that had served others, or in an earlier run)."""
    attempt: int
    """Counts from 0 within item and role."""
    serial: NotRequired[int]
    """Counts from 1 through all children of the run, whatever their role: RUN/17 names an attempt by it."""
    scenario: str
    params: dict[str, object]
    threads: int
    iterations: int
    seed: int
    command: str
    """Command line that repeats this attempt."""
    env: NotRequired[dict[str, str]]
    perturb: NotRequired[str]
    readback: NotRequired[str]
    """When outputs are read back: an axis of the attempt, because reading serialises."""
    completion: NotRequired[str]
    """On core, when the simulated Metal completes what was committed (`in_order`, `delayed`, `late_listener` or `slow_queue`):
    an axis, too."""
    order: NotRequired[str]
    """Level at which the order of accesses is checked: an axis too, because it is slow. Absent where it is not."""
    like: NotRequired[int]
    """Number of the crew's attempt that it repeats, with its seeds and conditions, where that is another one."""
    repeats: NotRequired[str]
    """RUN/17: the failure of an earlier run that it repeats, with its seed and schedule (`--mps-failed-first`)."""
    perturb_level: NotRequired[str]
    """Where it is not the run's: that of the failure that it repeats."""
    simulated: NotRequired[bool]
    """As in the run record, so that no line of it can be taken for a real backend's. Absent means false."""
    canary: NotRequired[bool]
    """The scenario has a planted fault: a failure is wanted. Absent means false."""
    ordinary: NotRequired[bool]
    """It runs an ordinary pytest test, in a child's own session. Absent means false."""


class AttemptEnd(Common):
    """The end of an attempt. A later one for the same attempt with `amends` replaces it."""

    kind: Literal["attempt_end"]
    item: str
    role: Role
    attempt: int
    serial: NotRequired[int]
    verdict: VerdictName
    seconds: float
    headline: str
    """The one line of native text or oracle text that a maintainer needs; empty for a plain pass."""
    exit_status: NotRequired[int | None]
    """Negative is a signal number of the machine that wrote this."""
    signal: NotRequired[str | None]
    """Name such as "SIGABRT": numbers differ between systems."""
    signature: NotRequired[str | None]
    """Id of a known failure (`results/known/`), if its text was recognised; null for one that is not described yet."""
    tainted: NotRequired[bool]
    """The device reported a fault: no value after it can be trusted, whatever the exit status."""
    amends: NotRequired[bool]
    """This record replaces an earlier one."""
    was: NotRequired[VerdictName]
    """Of an attempt that is aged: its verdict before fresh processes were asked."""
    notes: NotRequired[list[str]]
    """Anything worth a sentence."""
    findings: NotRequired[list[dict[str, object]]]
    """Wrong values and exceptions, each with thread, iteration, name (torn, stale, ...) and indices."""
    stamps: NotRequired[list[dict[str, object]]]
    """Last black-box stamp of each thread: thread, iteration, phase, op."""
    process: NotRequired[int]
    """Serial of the first attempt of the process that it ran in; its own where it had one to itself."""
    age: NotRequired[int]
    """Attempts that this process had served before. Attempts of one process share its caches and its fate."""
    before: NotRequired[list[int]]
    """Their serials, in order, where the attempt is not green."""
    iterations_done: NotRequired[int]
    stderr: NotRequired[SideFile | None]
    stacks: NotRequired[SideFile | None]
    reports: NotRequired[list[SideFile]]
    memory_bytes_max: NotRequired[int | None]
    device_memory_bytes_max: NotRequired[int | None]
    os_threads_max: NotRequired[int | None]
    cpu_s: NotRequired[float | None]
    shared_writes: NotRequired[list[dict[str, object]]]
    """Of a reference: what steps wrote of that which all threads share, each with `name` (`TinyGPT.k_cache`), `kind`
    (`tensor`, `parameter`, `gradient`, `attribute`, `contents`, `generator`, `cache`) and `writer` (`step`; `the first step`,
    for what is filled once; or the step of one thread, or `main_step`)."""
    order: NotRequired[dict[str, object]]
    """Of an attempt that checked the order: `accesses`, `unordered` pairs, what was `not_seen`, and the `pairs`, with both
    sides and a `signature`."""
    unkept: NotRequired[list[dict[str, object]]]
    """Orders that the simulated device promised and did not keep: `promise`, `op`, `prior`, `promised` and `kept` of each."""
    device_order: NotRequired[str]
    """Hash of all work in the order in which the simulated device ran it, where that order repeats by seed."""
    hand_overs: NotRequired[str]
    """Which thread's step began after which, as a set of bits in hexadecimal (`stress/model/hand_overs.py`): two attempts with
    the same one need not have had the same order, with another one they had another."""
    strikes: NotRequired[dict[str, int]]
    """Seeded fault of the simulated device -> how often it struck; absent where the child died before reporting it."""
    tsan: NotRequired[dict[str, object]]
    """ThreadSanitizer's result: number of reports, how often each signature, which suppressions matched."""
    tsan_log: NotRequired[SideFile | None]
    """Its text, where there was a report."""
    simulated: NotRequired[bool]


class ItemRecord(Common):
    """An item's verdict over all its attempts."""

    kind: Literal["item"]
    item: str
    verdict: VerdictName
    seconds: float
    attempts: int
    counted: int
    """Attempts whose verdict enters a rate."""
    failures: int
    verdicts: dict[str, int]
    processes: NotRequired[int]
    """In which the attempts that count ran."""
    control_attempts: NotRequired[int]
    control_failures: NotRequired[int]
    fresh_attempts: NotRequired[int]
    """Attempts in fresh processes, because all failures were in processes that had served others."""
    fresh_failures: NotRequired[int]
    recorded_attempts: NotRequired[int]
    """Failures of earlier runs that were run again before its own attempts; they enter no rate."""
    recorded_failures: NotRequired[int]
    headline: NotRequired[str]
    canary: NotRequired[bool]
    origin: NotRequired[list[str]]
    """The scenario's source, as it declares it: an issue, or "known limitation: ..."."""
    acceptable: NotRequired[dict[str, str]]
    """Verdict -> why it is fine here, as the scenario declares it."""
    notes: NotRequired[list[str]]
    alone: NotRequired[str]
    """Of an ordinary test, how it ended on one thread: "passed", "failed", "skipped", "xfailed", "crash" or "hang"."""
    simulated: NotRequired[bool]


class JournalRecord(Common):
    """An ordinary test is about to run inside the writing process, which it may kill."""

    kind: Literal["journal"]
    item: str
    simulated: NotRequired[bool]


class MeasurementRecord(Common):
    """The measurements of one attempt of `mps-stress throughput`. An attempt that is not green has no such record."""

    kind: Literal["measurement"]
    item: str
    attempt: int
    """Also the round: rounds of all items are interleaved, so that equal numbers belong together."""
    build: str
    """"this", or "other" for the one of `--against`."""
    workload: str
    way: str
    """"threads", "processes" or "batching"; with a count of 1 all are the same, and it is "threads"."""
    count: int
    """Requests served at once."""
    requests: int
    seconds: float
    rate_per_s: float
    latency_p50_s: float
    latency_p99_s: float | None
    """Null below 100 answers: the slowest of them is not a 99th percentile."""
    checking_share: float
    """Share of the time in which answers were compared with the sequential run's."""
    simulated: NotRequired[bool]


class TotalsRecord(Common):
    """Replaces the attempts of a file that a campaign has folded, none of which was a finding."""

    kind: Literal["totals"]
    item: str
    role: Role
    threads: int
    verdicts: dict[str, int]
    """Verdict -> attempts. Failures are there only for canaries."""
    shared: NotRequired[int]
    """Those that count and ran in a process in which another one of the item does."""
    seconds: float
    canary: NotRequired[bool]
    simulated: NotRequired[bool]


class RunEnd(Common):
    """The last record of a process that ended normally; its absence means that it was killed."""

    kind: Literal["run_end"]
    seconds: float
    exit_status: int | None
    verdicts: dict[str, int]
    """Item verdict -> how many."""
    simulated: NotRequired[bool]


Record = (
    RunRecord
    | AttemptStart
    | AttemptEnd
    | ItemRecord
    | JournalRecord
    | MeasurementRecord
    | TotalsRecord
    | RunEnd
)

TYPES: dict[Kind, type] = {
    "run": RunRecord,
    "attempt_start": AttemptStart,
    "attempt_end": AttemptEnd,
    "item": ItemRecord,
    "journal": JournalRecord,
    "measurement": MeasurementRecord,
    "totals": TotalsRecord,
    "run_end": RunEnd,
}


def side_name_error(name: str) -> str | None:
    """Return why `name` may not name a side file, or None: it must stay inside its run folder."""
    if not SIDE_NAME.fullmatch(name):
        return f"side file {name[:80]!r} is not a plain file name (letters, digits, '.', '_', '+', '-')"
    if ".." in name or name.endswith(".jsonl"):
        return f"side file {name[:80]!r} may neither contain '..' nor end in .jsonl"
    return None
