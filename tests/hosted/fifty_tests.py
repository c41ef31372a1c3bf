"""A test file as people have them: fifty good tests, and three that kill, stop or mislead whoever runs them from threads.

Each of the three is right on one thread, and wrong every time from several: nothing here depends on timing.
"""

from __future__ import annotations

THREADS = 8
GOOD, BAD = 50, 3

SOURCE = f'''
import ctypes
import threading
import unittest

import pytest
import torch

DEVICE = torch.accelerator.current_accelerator() or torch.device("cpu")
C = ctypes.CDLL(None)
MET = threading.Barrier({THREADS})


def from_threads():
    return sum(one.name.startswith("mps-stress-") for one in threading.enumerate()) > 1


@pytest.fixture(scope="module")
def weights():
    return torch.eye(16, device=DEVICE)


@pytest.mark.parametrize("number", range(20))
def test_adds(number):
    x = torch.full((32,), float(number), device=DEVICE)
    assert float((x + x).sum()) == 64 * number


@pytest.mark.parametrize("number", range(20))
def test_multiplies(number, weights):
    x = torch.full((4, 16), float(number), device=DEVICE)
    assert torch.equal((x @ weights).cpu(), x.cpu())


def test_segfault(thread_index):
    """A thread reads what is not there."""
    if from_threads() and thread_index == 3:
        ctypes.string_at(0)


class TestLocks:
    first, second = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)

    def test_deadlock(self, thread_index):
        """Two threads take two native locks, each in its own order."""
        order = (self.first, self.second) if thread_index % 2 else (self.second, self.first)
        C.pthread_mutex_lock(order[0])
        if from_threads() and thread_index < 2:
            while not (self.first.raw.strip(b"\\0") and self.second.raw.strip(b"\\0")):
                pass
        C.pthread_mutex_lock(order[1])
        C.pthread_mutex_unlock(order[1])
        C.pthread_mutex_unlock(order[0])


def test_wrong_value(thread_index):
    """All threads use one buffer."""
    x = torch.full((8,), float(thread_index), device=DEVICE)
    if from_threads():
        Shared.x = x
        MET.wait()
        x = Shared.x
    torch.testing.assert_close(x.cpu(), torch.full((8,), float(thread_index)))


class Shared:
    x = None


class TestOld(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.zeros = torch.zeros(8, device=DEVICE)

    def test_reads_what_its_class_has(self):
        self.assertEqual(float(self.zeros.sum()), 0.0)

    def test_in_parts(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(float((self.zeros + number).sum()), 8.0 * number)


@pytest.mark.parametrize("number", range(8))
def test_backward(number):
    x = torch.full((8,), float(number), device=DEVICE, requires_grad=True)
    (x * x).sum().backward()
    assert torch.equal(x.grad.cpu(), torch.full((8,), 2.0 * number))
'''
"""A module of {GOOD} tests that pass and {BAD} that fail, on whatever device torch has."""
