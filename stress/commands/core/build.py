"""`mps-stress core build`: say what is taken and what it is linked to, build it, and say how long that took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stress.commands.core.options import CoreOptions
from stress.commands.session import say
from stress.device.core import build as core
from stress.device.core import tree as trees
from stress.device.core import versions
from stress.device.core.build import CoreBuild
from stress.device.core.build import CoreBuilder
from stress.device.core.steps import Progress as ReportProgress


def build(options: CoreOptions) -> int:
    """Build the tree that the options name, print what it is, and return the exit status."""
    builder = core.core_builder(options.pytorch[0], options.sanitizer, options.operators)
    for line in about(builder):
        print(line, flush=True)
    made = built(builder, force=options.force)
    for line in _result(builder, made):
        print(line)
    return 0


def built(builder: CoreBuilder, *, force: bool) -> CoreBuild:
    """Return the build, made now if need be, with its progress on stderr."""
    with _progress() as progress:
        return builder.ensure(say, progress, force=force)


def about(builder: CoreBuilder) -> Iterator[str]:
    """Yield what is taken, what everything else comes from, and where the two do not fit."""
    tree, torch = builder.tree, builder.torch
    yield f"tree       {tree.describe()}"
    yield f"torch      {torch.version} in {torch.root}, for everything that is not in the tree's MPS folders"
    yield f"compiler   {builder.toolchain.version}{', ThreadSanitizer' if builder.sanitizer else ''}"


def _result(builder: CoreBuilder, made: CoreBuild) -> Iterator[str]:
    by_folder: dict[str, int] = {}
    for name in made.sources:
        folder = name.rpartition("/")[0].removeprefix("aten/src/")
        by_folder[folder] = by_folder.get(folder, 0) + 1
    taken = ", ".join(f"{count} of {folder}" for folder, count in by_folder.items())
    for one in versions.compare_interfaces(builder.tree, builder.torch):
        if one.is_known and not one.is_same:
            places = "; ".join(one.differences())
            yield f"interface  {one.interface.name} differs from torch's ({one.treatment}): {places}"
    yield f"sources    {len(made.sources)}: {taken}"
    yield f"built      {f'in {made.seconds:.0f} s' if made.is_new else 'before (the same content)'}: {made.library}"
    for name, error in made.not_compiled.items():
        yield f"left out   {name} does not compile, and torch's CPU kernels serve for it: {error}"
    if made.driver_problem is not None:
        yield f"cases      none: the native cases do not compile for this tree: {made.driver_problem}"
    yield f"device     {trees.device_text(builder.tree, made.cpu_families)}"


@contextmanager
def _progress() -> Iterator[ReportProgress]:
    """Give a function that shows progress: a bar on a terminal, a line for each step elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step, _: print(f"  {step}", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn
    from rich.progress import Progress
    from rich.progress import TextColumn
    from rich.progress import TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda step, done: bar.update(task, description=step, completed=done)
