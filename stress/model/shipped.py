"""Paths of the data that comes with the package: in a checkout, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
DATA_IN_WHEEL = _PACKAGE / "_shipped"
"""Below the package, although none of it is the package's code: scenarios lie here too."""
_SCENARIOS = "scenarios"


def shipped(*parts: str) -> Path:
    """Return the path of shipped data; the checkout's own folder wins where there is one."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout.joinpath(*parts)
    return DATA_IN_WHEEL.joinpath(*parts)


def shipped_scenarios() -> Path:
    """Return the folder of the scenarios that come with the package."""
    return shipped(_SCENARIOS)


def shipped_file(name: str) -> Path | None:
    """Return the shipped file that `scenarios/NAME.py` stands for where there is no such file; None for other texts."""
    folder, _, file = name.rpartition("/")
    path = shipped_scenarios() / file
    return path if folder == _SCENARIOS and path.suffix == ".py" and path.is_file() else None


def shipped_name(path: Path) -> str | None:
    """Return the name of a shipped file in node ids and arguments, `scenarios/NAME.py`; None for other files."""
    return f"{_SCENARIOS}/{path.name}" if path.resolve().parent == shipped_scenarios() else None
