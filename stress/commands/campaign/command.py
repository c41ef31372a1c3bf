"""`mps-stress campaign`: find what is to be gone on with, hand over to pytest, translate its exit status."""

from __future__ import annotations

import time

import pytest

from stress.commands import CommandError
from stress.commands.campaign.lock import DeviceLock
from stress.commands.campaign.lock import LockError
from stress.commands.campaign.lock import LockHeld
from stress.commands.campaign.options import CampaignOptions
from stress.commands.campaign.plugin import CampaignPlugin
from stress.commands.campaign.resume import find_killed
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.exit_status import EXIT_USAGE

_STATUS: dict[int, int] = {
    pytest.ExitCode.USAGE_ERROR: EXIT_USAGE,
    pytest.ExitCode.INTERRUPTED: EXIT_INTERRUPTED,
}
# The ini file's addopts are for tests: -n, -v or --lf among them would change what a campaign is. Twice quiet, because
# "no tests ran" would be said otherwise.
_QUIET = ("-qq", "-o", "addopts=", "-p", "no:cacheprovider", "--disable-warnings")


def run(options: CampaignOptions) -> int:
    """Run the campaign; 0 nothing new, 1 somebody has to look, 2 bad input, 128 and the signal that ended it."""
    killed = lock = None
    if options.resume:
        killed = find_killed(options.results, time.time())
        if killed is None:
            print(f"nothing to resume: no campaign in {options.results} was killed before its time was up")
            return 0
        try:
            # Before the device is opened, which would disturb the campaign that runs on it.
            lock = DeviceLock(str(killed.record["device"]))
        except LockHeld as error:
            print(f"nothing to resume: {error}")
            return 0
        except LockError as error:
            raise CommandError(str(error)) from None
    plugin = CampaignPlugin(options, killed, lock)
    status = pytest.main([*_QUIET, *options.pytest_arguments], plugins=[plugin])
    if plugin.status is not None:
        return plugin.status
    return _STATUS.get(int(status), int(status))
