"""The campaign inside pytest, which collects the items, checks the options and opens the device and the records."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest

from stress.commands.campaign.lock import DeviceLock
from stress.commands.campaign.lock import LockError
from stress.commands.campaign.loop import Campaign
from stress.commands.campaign.loop import usable
from stress.commands.campaign.options import CampaignOptions
from stress.commands.campaign.progress import RateLine
from stress.commands.campaign.progress import rate_line
from stress.commands.campaign.resume import Killed
from stress.commands.campaign.resume import count_again
from stress.commands.campaign.resume import difference
from stress.commands.campaign.resume import status_of
from stress.commands.campaign.summary import Ending
from stress.commands.campaign.summary import markdown
from stress.commands.campaign.summary import text
from stress.commands.campaign.tally import Arm
from stress.commands.campaign.tally import CampaignTally
from stress.commands.exit_status import EXIT_USAGE
from stress.commands.session import say
from stress.diagnose.signatures import default_signatures
from stress.plugin.items import ScenarioItem
from stress.plugin.options import xdist_workers
from stress.plugin.run import Run
from stress.plugin.run import run_of
from stress.plugin.terminal.github import append_summary
from stress.record.aggregate.cells import scenario_of
from stress.record.aggregate.folders import AggregateError
from stress.record.aggregate.folders import read_folders


class CampaignPlugin:
    """Given to `pytest.main` by the command."""

    def __init__(self, options: CampaignOptions, killed: Killed | None, lock: DeviceLock | None) -> None:
        """`lock` is that of the killed campaign's device, where there is one to resume."""
        self.options, self.killed = options, killed
        self.status: int | None = None
        """Exit status of the command, once the campaign has ended."""
        self.until = killed.until if killed is not None else 0.0
        """When the time is up; it begins when the device is open, because building it may take a minute."""
        self._tally: CampaignTally | None = None
        self._lock = lock

    @property
    def seconds(self) -> float:
        """Return the whole time of the campaign, of which other processes may have had a part."""
        return float(self.killed.record["seconds_asked"]) if self.killed is not None else self.options.seconds

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        run = run_of(config)
        if xdist_workers(config):
            raise pytest.UsageError("a campaign is one process: leave out -n")
        if not run.settings.isolation:
            raise pytest.UsageError("a campaign outlives its crashes: leave out --mps-no-isolation and --pdb")
        run.command = "campaign"
        if self.killed is not None:
            run.run_id = self.killed.folder.name

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Lock the device, which is known by now, before anything is written."""
        run = run_of(session.config)
        if run.device is None:
            raise pytest.UsageError("a campaign runs scenarios: leave out --mps-all-tests and --collect-only")
        if self.killed is not None:
            self._check_same(run)
        else:
            try:
                self._lock = DeviceLock(run.device.name)
            except LockError as error:
                raise pytest.UsageError(str(error)) from None
            self.until = time.time() + self.options.seconds
        run.extra = {"until": self.until, "seconds_asked": self.seconds}
        for line in run.device.header_lines:
            say(line)

    def _check_same(self, run: Run) -> None:
        assert self.killed is not None
        was = self.killed.record
        changed = difference(was["settings"], asdict(run.settings))
        if not changed and run.device is not None and run.device.name != was["device"]:
            changed = f"the device was {was['device']} and is {run.device.name}"
        then, now = was.get("torch") or {}, run.device.torch if run.device is not None else {}
        if not changed and any(then.get(name) != now.get(name) for name in ("version", "git")):
            changed = f"torch was {then.get('version')} and is {now.get('version')}"
        if changed:
            raise pytest.UsageError(
                f"--resume: {self.killed.folder.name} ran with other options ({changed}): give the same ones, or leave "
                "out --resume to begin a new campaign"
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if not any(isinstance(one, ScenarioItem) for one in items):
            raise pytest.UsageError(
                "no scenario to run: name files or classes, as in scenarios/linear.py::SharedLinear"
            )

    def pytest_mps_record(self, record: Mapping[str, Any]) -> None:
        if self._tally is not None:
            self._tally.see(record)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop; the records are open by now."""
        run = run_of(session.config)
        if session.testsfailed:
            self.status = EXIT_USAGE
            raise session.Interrupted(
                "a file of scenarios cannot be imported: a campaign runs all of them or none"
            )
        items, not_run = usable([one for one in session.items if isinstance(one, ScenarioItem)])
        version = str(run.device.torch.get("version") or "") if run.device is not None else ""
        tally = self._tally = CampaignTally(
            [
                Arm(one.nodeid, one.scenario_class.canary, frozenset(map(str, one.scenario_class.acceptable)))
                for one in items
            ],
            # One that was fixed and is back is new.
            {one.id for one in default_signatures() if not one.returned(version)},
            self._baseline(),
        )
        if self.killed is not None:
            count_again(self.killed, tally)
            self._say_resumed(tally)
            run.writer.go_on_from(tally.serial_max + 1)
        say(
            f"campaign {run.run_id}: {len(items)} items, until {_clock(self.until)}; records {run.folder_path}"
        )
        began, here = self.until - self.seconds, time.monotonic()

        def progress_text() -> str:
            spent_s = min(time.time() - began, self.seconds)
            return rate_line(tally, spent_s=spent_s, seconds=self.seconds, here_s=time.monotonic() - here)

        with RateLine(progress_text) as line:
            campaign = Campaign(
                run,
                items,
                tally,
                line,
                until=self.until,
                seconds=self.seconds,
                disk_bytes_max=self.options.disk_bytes_max,
            )
            ended_by = _go(campaign)
        with _signals(signal.SIG_IGN):  # a job that is cancelled gets a second one while it writes
            self._end(run, campaign, not_run, time.time() - began)
        if ended_by is not None:
            self.status = status_of(ended_by)
        return True

    def _baseline(self) -> set[tuple[str, str]]:
        if not self.options.baseline:
            return set()
        try:
            found = read_folders(self.options.baseline)
        except AggregateError as error:
            raise pytest.UsageError(f"--baseline: {error}") from None
        return {(scenario_of(cell.item), name) for cell in found.cells.values() for _, name in cell.names}

    def _say_resumed(self, tally: CampaignTally) -> None:
        assert self.killed is not None
        down = "the machine was restarted since" if self.killed.machine_went_down else "it was killed"
        say(
            f"campaign {self.killed.folder.name} resumed: {down}; {tally.attempts} attempts counted, "
            f"{len(tally.unfinished)} without an end"
        )

    def _end(self, run: Run, campaign: Campaign, not_run: Mapping[str, list[str]], spent_s: float) -> None:
        assert run.device is not None
        ending = Ending(
            campaign.tally,
            run.run_id,
            run.replay_command,
            str(run.folder_path),
            run.device.name,
            run.device.is_simulated,
            self.seconds,
            spent_s,
            not_run,
            campaign.stopped,
            campaign.folded,
            campaign.late,
        )
        print(text(ending, shutil.get_terminal_size().columns, color=sys.stdout.isatty()), flush=True)
        problem = append_summary(markdown(ending))
        if problem:
            say(problem)
        self.status = int(ending.is_bad)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.status is not None:
            session.exitstatus = self.status
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class _Signalled(KeyboardInterrupt):
    """A signal that ends the campaign as Ctrl-C does: with a summary."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"interrupted ({number.name})")
        self.number = number


def _go(campaign: Campaign) -> signal.Signals | None:
    """Run the campaign; return which of Ctrl-C, SIGTERM and SIGHUP ended it early, if one did."""
    with _signals(_stop):
        try:
            campaign.go()
        except KeyboardInterrupt as error:
            number = error.number if isinstance(error, _Signalled) else signal.SIGINT
            campaign.stopped = str(error) or f"interrupted ({number.name})"
            return number
    return None


def _stop(number: int, frame: object) -> None:
    raise _Signalled(signal.Signals(number))


@contextlib.contextmanager
def _signals(handler: Any) -> Iterator[None]:
    """Handle the signals that end a job, or close a terminal, in this way."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _clock(time_s: float) -> str:
    return time.strftime("%a %H:%M", time.localtime(time_s))
