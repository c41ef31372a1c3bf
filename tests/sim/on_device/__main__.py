"""The child: `python -m tests.sim.on_device FILE LIBRARY KEY`. Prints each check's outcome as one JSON object."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings

import torch

from stress.device.sim import loading
from tests.sim.programs import load_device


def main() -> None:
    name, library, key = sys.argv[1:]
    warnings.simplefilter("ignore")
    load_device(library, key)
    torch.set_num_threads(1)
    module = importlib.import_module(f"tests.sim.on_device.{name}")
    loading.ops().configure(getattr(module, "CONFIGURE", ""))
    outcomes = {}
    for check, function in list(vars(module).items()):
        if check.startswith("check_"):
            try:
                function()
            except BaseException:
                outcomes[check] = traceback.format_exc()
            else:
                outcomes[check] = "ok"
    print(json.dumps(outcomes), flush=True)
    os._exit(0)  # autograd's thread may still be letting go of Python objects


if __name__ == "__main__":
    main()
