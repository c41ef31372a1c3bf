"""The campaign: many attempts in a time budget, where they find most, through kills, reboots and full disks."""
