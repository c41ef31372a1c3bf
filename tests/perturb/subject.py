"""Races in plain Python, and their correct twins: the code under test of these tests. Imports no torch."""

from __future__ import annotations

import threading


class Box:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n = 0
        self.instance: object = None
        self.made: list[int] = []


def two_lines(box: Box) -> None:
    value = box.n
    box.n = value + 1


def one_line(box: Box) -> None:
    box.n += 1


def first_use(box: Box) -> None:
    if box.instance is None:
        box.instance = object()
        box.made.append(1)


def two_lines_locked(box: Box) -> None:
    with box.lock:
        value = box.n
        box.n = value + 1


def first_use_locked(box: Box) -> None:
    with box.lock:
        if box.instance is None:
            box.instance = object()
            box.made.append(1)


def in_a_thread_of_its_own(box: Box) -> None:
    thread = threading.Thread(target=two_lines, args=(box,))
    thread.start()
    thread.join()
