"""The smallest configuration that still fails nearly as often, and a script that shows it without this framework."""
