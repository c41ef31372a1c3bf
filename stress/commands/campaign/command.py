"""`mps-stress campaign`: find the campaign to resume, hand over to pytest, translate its exit status."""

from __future__ import annotations

import time

from stress.commands.campaign.lock import DeviceLock
from stress.commands.campaign.lock import LockHeld
from stress.commands.campaign.options import CampaignOptions
from stress.commands.campaign.plugin import CampaignPlugin
from stress.commands.campaign.resume import find_killed
from stress.commands.hand_over import hand_over


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
    return hand_over(CampaignPlugin(options, killed, lock), options.pytest_arguments)
