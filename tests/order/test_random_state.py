"""`stress.order.random_state`: which default generators a function of torch has read or set."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from stress.order.random_state import watch_seeds


class Notes:
    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str]]] = []

    def __call__(self, generators: Iterable[tuple[str, str]], name: str) -> None:
        if devices := [device for device, _ in generators]:
            self.seen.append((name, devices))


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    """What is noted, with two GPUs of which the second is chosen, and whose generators do nothing."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda seed: None)
    return Notes()


def test_a_seed_for_all_is_every_gpus(notes: Notes) -> None:
    with watch_seeds(notes), torch.random.fork_rng(devices=[]):
        notes.seen.clear()
        torch.manual_seed(3)
    assert ("torch.cuda.manual_seed_all", ["cuda:0", "cuda:1"]) in notes.seen
    assert ("torch.manual_seed", ["cpu"]) in notes.seen


def test_a_seed_for_one_is_the_current_gpus(notes: Notes) -> None:
    with watch_seeds(notes):
        torch.cuda.manual_seed(3)
    assert notes.seen == [("torch.cuda.manual_seed", ["cuda:1"])]


def test_a_seed_that_is_only_remembered_is_none(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with watch_seeds(notes):
        torch.cuda.manual_seed_all(3)
    assert notes.seen == []


def test_the_functions_are_torchs_own_again(notes: Notes) -> None:
    original = torch.manual_seed
    with watch_seeds(notes):
        assert torch.manual_seed is not original
    assert torch.manual_seed is original
