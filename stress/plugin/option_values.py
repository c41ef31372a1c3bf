"""Readers of option values: each returns what a text means, or raises `ValueError` saying what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import NamedTuple
from typing import TypeVar

import pytest

from stress.model import system
from stress.plugin.settings import COUNT_MAX
from stress.plugin.settings import ORDERS
from stress.plugin.settings import SECONDS_MAX
from stress.plugin.settings import THREADS_MAX

T = TypeVar("T")


class Given(NamedTuple):
    """A value that the user gave, and where."""

    text: str
    where: str
    """How an error message begins: `--mps-seed=x`, or the line of the ini file."""
    base: Path
    """What a relative path is relative to."""

    @property
    def is_on_command_line(self) -> bool:
        return self.where.startswith("--")

    def refuse(self, expected: str) -> pytest.UsageError:
        return pytest.UsageError(f"{self.where}: {expected}")

    def read(self, reader: Callable[[Given], T]) -> T:
        """Return what `reader` makes of it; its `ValueError` becomes a usage error that says where the value stands."""
        try:
            return reader(self)
        except ValueError as error:
            raise self.refuse(str(error)) from None


def thread_counts(given: Given) -> tuple[int, ...]:
    if given.text == "auto":
        return (max(2, system.usable_cores()),)
    try:
        counts = [int(part) for part in given.text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise ValueError(
            "expected positive whole numbers or 'auto', as in --mps-threads=8 or --mps-threads=1,2,4,8"
        )
    if max(counts) > THREADS_MAX:
        raise ValueError(f"expected at most {THREADS_MAX} threads, as in --mps-threads=8")
    return tuple(dict.fromkeys(counts))


def whole_number(given: Given) -> int:
    text = given.text
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= COUNT_MAX):
        raise ValueError(f"expected a whole number of at least 1 and at most {COUNT_MAX}")
    return int(text)


def seconds(given: Given) -> float:
    try:
        value = float(given.text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SECONDS_MAX:  # false for nan
        raise ValueError(f"expected a positive number of seconds, at most {SECONDS_MAX:.0f}")
    return value


def seed(given: Given) -> int:
    try:
        value = int(given.text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise ValueError(
            "expected a whole number from 0 to 2**63-1, as printed in the header (0x... is allowed)"
        )
    return value


def one_of(choices: tuple[str, ...]) -> Callable[[Given], str]:
    def read(given: Given) -> str:
        if given.text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return given.text

    return read


def order(given: Given) -> str:
    if given.text not in ORDERS:
        raise ValueError(
            f"choose one of {', '.join(ORDERS)}, or write the option alone, after the files: pytest scenarios/ --mps-order"
        )
    return given.text


def module_names(given: Given) -> tuple[str, ...]:
    names = tuple(part.strip() for part in given.text.split(","))
    if not all(part.isidentifier() for one in names for part in one.split(".")):
        raise ValueError("expected names of modules, as in --mps-trace-modules=mypackage,other.module")
    return names


def existing_folder(given: Given) -> Path:
    folder = (given.base / given.text).resolve()
    if not given.text or not folder.is_dir():
        raise ValueError("there is no such folder")
    return folder


def source_tree(given: Given) -> str:
    """Return the path as given, which header and records show; that of an ini file is relative to it."""
    if not given.text:
        raise ValueError("expected the root of a PyTorch source tree, as in --mps-pytorch=../pytorch")
    return given.text if given.is_on_command_line else str(given.base / given.text)


def folder_to_write(given: Given) -> Path:
    if not given.text:
        raise ValueError("expected a folder, as in --mps-results=results/runs")
    return (given.base / given.text).resolve()


def parsed(parse: Callable[[str], T]) -> Callable[[Given], T]:
    return lambda given: parse(given.text)


def checked(parse: Callable[[str], Any]) -> Callable[[Given], str]:
    """Return a reader that leaves the text as it is, once `parse` can read it."""

    def read(given: Given) -> str:
        parse(given.text)
        return given.text

    return read
