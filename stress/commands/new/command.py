"""`mps-stress new`: write the file, say how it runs."""

from __future__ import annotations

import shlex

from stress.commands import CommandError
from stress.commands.new.options import NewOptions
from stress.commands.try_.scenario_file import of_model
from stress.commands.try_.target import find_target

TEMPLATE = '''\
"""One model that all threads share. Everything here is yours to change."""

import torch
from stress import Scenario


class MyModel(Scenario):
    """Every thread calls the same model, each with inputs of its own."""

    iterations = 20  # calls of each thread, in each attempt

    def setup(self, device):
        """Make what the threads share: draw on the CPU, then move to the device."""
        model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
        return model.eval().to(device)

    def make_input(self, generator):
        """Return one input on the CPU, drawn from the generator alone. It is moved to the device for you."""
        return torch.randn(8, 16, generator=generator)

    def step(self, model, x):
        """Do what one thread does once. What it returns is compared with what one thread alone gets."""
        with torch.no_grad():
            return model(x)
'''


def run(options: NewOptions) -> int:
    """Write the file; it is never written over."""
    text = TEMPLATE
    if options.model is not None and options.input is not None:
        folder = options.rootdir
        model, make_input = find_target(options.model, folder), find_target(options.input, folder)
        text = of_model(model, make_input, f"{model} from several threads.").text
    try:
        options.file.parent.mkdir(parents=True, exist_ok=True)
        with options.file.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{options.file} exists: choose another name, or remove it") from None
    except OSError as error:
        raise CommandError(f"{options.file}: cannot write: {error.strerror}; choose another place") from None
    print(f"wrote {options.file}; run it: {shlex.join(['pytest', '--mps-threads=8', str(options.file)])}")
    return 0
