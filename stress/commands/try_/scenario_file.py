"""The scenario that `try` and `stress.check` run and `new` gives to its author: a file like any other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.try_.target import Target
from stress.commands.try_.target import call

FOLDER = Path("results") / "try"
"""Below the rootdir, so that a recorded attempt finds its file again: `replay` runs nothing outside."""

_HEAD = '''\
"""{about}"""

{paths}import torch
from stress import Scenario

{imports}

class {name}(Scenario):
    """{docstring}"""
'''
_MODEL = """
    def setup(self, device):
        {setup}

    def make_input(self, generator):
        {make_input}

    def step(self, model, x):
        with torch.no_grad():
            return model({arguments})
"""


@dataclass(frozen=True)
class ScenarioFile:
    """A scenario class as text."""

    stem: str
    """What its name begins with."""
    class_name: str
    text: str

    def write(self, rootdir: Path) -> Path:
        """Write it below the rootdir and return its path; raise `CommandError`."""
        # The text is part of the name: a module of this name that is imported already, and the records of an earlier run,
        # mean the same text.
        digest = hashlib.blake2b(self.text.encode(), digest_size=2).hexdigest()
        path = rootdir / FOLDER / f"{self.stem}_{digest}.py"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text, encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"{path}: cannot write: {error.strerror}; go to a folder that can be written"
            ) from None
        return path


def of_model(model: Target, make_input: Target, about: str) -> ScenarioFile:
    """Return the scenario in which every thread calls one model; raise `CommandError` for what cannot be one."""
    import torch

    made: Any = model.value
    what = f"{model.expression}()"
    if isinstance(made, torch.nn.Module):
        what = model.expression
    elif model.arguments:
        raise CommandError(
            f"{model}: it needs an argument: name a function that makes the model and needs none"
        )
    else:
        made = call(model)
    if not callable(made):
        raise CommandError(
            f"{model}: it returned a {type(made).__name__}, which cannot be called with an input"
        )
    x = call(make_input, torch.Generator().manual_seed(0))
    name = class_name(model.name)
    setup = f"return {what}.eval().to(device)" if isinstance(made, torch.nn.Module) else f"return {what}"
    text = _head(about, name, f"Every thread calls one model, {model.expression}.", (model, make_input))
    text += _MODEL.format(setup=setup, make_input=_input(make_input, x), arguments=_arguments(x))
    return ScenarioFile(f"{model.module.replace('.', '_')}_{model.name.replace('.', '_')}", name, text)


def of_functions(functions: Mapping[str, Target | None], iterations: int, about: str) -> ScenarioFile:
    """Return the scenario whose methods are these functions: `setup`, `make_input` and `step`."""
    given = {method: target for method, target in functions.items() if target is not None}
    step = given["step"]
    name = class_name(step.name)
    text = _head(about, name, f"Every thread calls {step.expression}.", given.values())
    text += f"\n    iterations = {iterations}\n"
    names = {"setup": "device", "make_input": "generator", "step": "state, x"}
    for method, target in given.items():
        text += f"\n    def {method}(self, {names[method]}):\n        return {target.expression}({names[method]})\n"
    return ScenarioFile(f"{step.module.replace('.', '_')}_{step.name.replace('.', '_')}", name, text)


def class_name(name: str) -> str:
    """Return the name of a class for a function's: make_model -> MakeModel."""
    words = [word for word in re.split(r"[._]+", name) if word]
    return "".join(word[0].upper() + word[1:] for word in words) or "Model"


def _head(about: str, name: str, docstring: str, targets: Iterable[Target]) -> str:
    modules = sorted({one.module for one in targets})
    folders = list(dict.fromkeys(one.folder for one in targets if one.folder is not None))
    lines = [f"sys.path.insert(0, {folder!r})  # where {', '.join(modules)} was found" for folder in folders]
    paths = "\n".join(["import sys", "", *lines, "", ""]) if folders else ""
    imports = "".join(f"import {module}\n" for module in modules)
    return _HEAD.format(about=about, paths=paths, imports=imports, name=name, docstring=docstring)


def _input(target: Target, x: Any) -> str:
    given = "dict({})" if isinstance(x, Mapping) and not isinstance(x, dict) else "{}"
    if target.arguments:
        return f"return {given.format(f'{target.expression}(generator)')}"
    value = given.format(f"{target.expression}()")
    return (
        "with torch.random.fork_rng(devices=[]):  # it draws from torch's own generator\n"
        "            torch.manual_seed(generator.initial_seed())\n"
        f"            return {value}"
    )


def _arguments(x: Any) -> str:
    if isinstance(x, Mapping):
        return "**x"
    return "*x" if isinstance(x, tuple) and not hasattr(x, "_fields") else "x"
