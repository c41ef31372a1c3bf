"""Copies that do not block, on a tree's own core: `LIBRARY`. Prints JSON, the promises that each program saw broken."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import torch

from stress.device import preparation
from stress.device.core import loading
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec
from stress.order.broken_promise import BrokenPromise


def source_freed_at_once() -> torch.Tensor:
    return torch.ones(64, 64).to("mps", non_blocking=True)


def host_with_other_strides() -> torch.Tensor:
    target = torch.zeros(64, 64).t()
    return target.copy_(torch.ones(64, 64, device="mps") + 1, non_blocking=True)


def in_order() -> torch.Tensor:
    source = torch.ones(64, 64)
    x = source.to("mps", non_blocking=True)
    event = torch.mps.Event()
    event.record()
    event.synchronize()
    assert (x @ x).sum().item() == 64**3
    torch.accelerator.synchronize()
    del source
    return x.cpu()


PROGRAMS: tuple[Callable[[], torch.Tensor], ...] = (in_order, source_freed_at_once, host_with_other_strides)


def main(library: str) -> None:
    preparation.prepare(ChildSpec("crew", core=CoreSpec(library)))
    found = {}
    for program in PROGRAMS:
        program()
        torch.mps.synchronize()
        found[program.__name__] = [
            BrokenPromise.from_line(one).text for one in loading.take_broken_promises()
        ]
    print(json.dumps(found), flush=True)
    os._exit(0)  # a copy into memory that was freed may have broken the heap


if __name__ == "__main__":
    main(sys.argv[1])
