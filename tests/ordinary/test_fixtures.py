"""Fixtures, instances and folders: one per thread where the scope is the function, shared where it is wider."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ordinary.running import ALL
from tests.ordinary.running import Ran
from tests.ordinary.running import run

CASES = """
import threading, unittest
from pathlib import Path
import pytest
import stress

main = threading.main_thread()
log = []

@pytest.fixture(scope="module")
def shared():
    return []

@pytest.fixture
def own(thread_index):
    assert threading.current_thread() is main
    log.append(("up", thread_index))
    yield [thread_index]
    assert threading.current_thread() is main
    log.append(("down", thread_index))

@pytest.fixture
def built(own, tmp_path, request):
    return {"own": own, "path": tmp_path, "again": request.getfixturevalue("own"), "name": request.node.name}

def test_own_and_shared(own, shared, thread_index):
    assert own[0] == thread_index
    own.append(1)
    shared.append(thread_index)

def test_after_it(shared):
    if not any(entry[0] == "checked" for entry in log):
        assert [entry for entry in log if entry[0] == "up"][:8] == [("up", i) for i in range(8)]
        assert [entry for entry in log if entry[0] == "down"][:8] == [("down", i) for i in reversed(range(8))]
        assert sorted(set(shared)) == list(range(8)) and len(shared) == 64
    log.append(("checked",))

def test_built_from_others(built, own, tmp_path, thread_index):
    assert built["own"] is own and built["again"] is own
    assert built["path"] == tmp_path
    assert built["name"] == "test_built_from_others"

def test_folders(tmp_path, thread_index):
    assert tmp_path.is_dir() and tmp_path.name == f"thread-{thread_index}"
    (tmp_path / "mine").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]

def test_old_folders(tmpdir, tmp_path):
    assert Path(tmpdir) == tmp_path

@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("kind", ["a", "b"], indirect=True)
def test_parameters(number, kind, thread_index):
    assert number in (1, 2) and kind in (f"a{thread_index}", f"b{thread_index}")

@pytest.fixture
def kind(request, thread_index):
    return f"{request.param}{thread_index}"

def test_request_in_the_body(request, own, thread_index):
    assert request.getfixturevalue("own") is own
    assert isinstance(request, pytest.FixtureRequest)

def test_indices(thread_index, iteration_index):
    step = stress.current()
    assert (step.thread_index, step.iteration, step.wave, step.thread_count) == (thread_index, iteration_index, 0, 8)

@pytest.fixture
def broken(thread_index, tmp_path):
    log.append(("broken up", thread_index))
    if thread_index == 3:
        raise RuntimeError("third")
    yield
    log.append(("broken down", thread_index))

def test_broken_set_up(broken):
    pass

def test_after_broken():
    if ("asked",) not in log:
        assert [e for e in log if e[0] == "broken down"] == [("broken down", i) for i in (2, 1, 0)]
        log.append(("asked",))

@pytest.fixture
def bad_end(thread_index):
    yield
    if thread_index == 2:
        raise RuntimeError("second tear-down")

def test_bad_end(bad_end):
    pass

@pytest.fixture
def two_yields():
    yield
    yield

def test_two_yields(two_yields):
    pass

class TestMethods:
    def setup_method(self):
        self.calls = []

    def teardown_method(self):
        assert len(self.calls) == 8, self.calls

    @pytest.fixture(autouse=True)
    def _inject(self, thread_index):
        self.index = thread_index

    @pytest.fixture
    def mine(self):
        return self

    def test_own_instance(self, mine, thread_index):
        assert mine is self and self.index == thread_index
        self.calls.append(thread_index)
        assert set(self.calls) == {thread_index}

class TestCase(unittest.TestCase):
    ups, downs = [], []

    def setUp(self):
        assert threading.current_thread() is main
        self.calls = []
        self.ups.append(self)

    def tearDown(self):
        assert threading.current_thread() is main
        assert len(self.calls) == 8
        self.downs.append(self)

    @classmethod
    def tearDownClass(cls):
        assert len(set(map(id, cls.ups))) == 8
        assert cls.downs == cls.ups[::-1]

    def test_method(self):
        self.calls.append(1)
        with self.subTest(part=1):
            self.assertTrue(self.calls)

class TestCaseThatSkips(unittest.TestCase):
    def setUp(self):
        self.skipTest("not today")

    def test_method(self):
        raise AssertionError

class TestCaseThatFails(unittest.TestCase):
    def test_method(self):
        self.assertEqual(1, 2)

class TestCaseWithBadSetUp(unittest.TestCase):
    cleaned = []

    def setUp(self):
        self.addCleanup(self.cleaned.append, self)
        raise RuntimeError("set-up")

    def test_method(self):
        pass

    @classmethod
    def tearDownClass(cls):
        assert len(cls.cleaned) == 1
"""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("fixtures"), CASES, *ALL)


class TestPerThread:
    @pytest.mark.parametrize(
        "name",
        [
            "test_own_and_shared",
            "test_after_it",
            "test_built_from_others",
            "test_folders",
            "test_old_folders",
            "test_parameters[a-1]",
            "test_parameters[b-2]",
            "test_request_in_the_body",
            "test_indices",
            "test_after_broken",
            "test_own_instance",
        ],
    )
    def test_passes(self, cases: Ran, name: str) -> None:
        assert cases.outcome(name) == "PASSED"

    def test_all_counts(self, cases: Ran) -> None:
        counts = cases.counts()
        assert counts == {"passed": 16, "failed": 2, "skipped": 1, "errors": 3}

    def test_a_set_up_that_fails_for_one_thread_is_an_error(self, cases: Ran) -> None:
        assert "ERROR test_it.py::test_broken_set_up - RuntimeError: third" in cases.text

    def test_a_tear_down_that_fails_for_one_thread_is_an_error(self, cases: Ran) -> None:
        assert "ERROR test_it.py::test_bad_end - RuntimeError: second tear-down" in cases.text

    def test_a_second_yield_is_an_error(self, cases: Ran) -> None:
        assert "more than one 'yield'" in cases.text

    def test_unittest_failures_count_their_calls(self, cases: Ran) -> None:
        assert (
            "TestCaseThatFails::test_method - always fails: 64 of 64 calls: AssertionError: 1 != 2"
            in cases.text
        )

    def test_unittest_set_up_errors_fail_and_skips_skip(self, cases: Ran) -> None:
        assert "TestCaseWithBadSetUp::test_method - RuntimeError: set-up" in cases.text
        assert "not today" in cases.text


class TestWithoutThreads:
    def test_the_index_fixtures_are_zero(self, tmp_path: Path) -> None:
        source = """
            def test_indices(thread_index, iteration_index, tmp_path):
                assert (thread_index, iteration_index) == (0, 0)
                assert not tmp_path.name.startswith("thread-")
            """
        assert run(tmp_path, source).counts() == {"passed": 1}


GLOBAL = """
import pytest

@pytest.fixture
def through_another(monkeypatch):
    return monkeypatch

def test_direct(capsys):
    pass

def test_indirect(through_another):
    pass

@pytest.mark.mps_stress(threads=1)
def test_marked(capsys, thread_index):
    print("hello")
    assert capsys.readouterr().out == "hello\\n"
"""


class TestProcessGlobal:
    def test_is_refused_and_the_ways_out_are_named(self, tmp_path: Path) -> None:
        ran = run(tmp_path, GLOBAL, *ALL)
        assert ran.counts() == {"passed": 1, "errors": 2}
        assert ran.outcome("test_marked") == "PASSED"
        for name, fixture in (("test_direct", "capsys"), ("test_indirect", "monkeypatch")):
            message = ran.message(name)
            assert f"runs from 8 threads and uses {fixture}" in message
            assert "mps_stress(threads=1)" in message
            assert f"mps_shared_fixtures = {fixture}" in message

    def test_declared_shared_it_is_set_up_once(self, tmp_path: Path) -> None:
        source = """
            import os
            import pytest

            made = []

            @pytest.fixture
            def patched(monkeypatch, tmp_path):
                made.append(tmp_path)
                monkeypatch.setenv("SHARED_BY_ALL", "yes")
                return monkeypatch

            def test_it(patched, monkeypatch):
                assert patched is monkeypatch
                assert os.environ["SHARED_BY_ALL"] == "yes"
                assert len(made) == 1 and made[0].is_dir()
            """
        ran = run(tmp_path, source, *ALL, ini="mps_shared_fixtures = monkeypatch patched")
        assert ran.counts() == {"passed": 1}
