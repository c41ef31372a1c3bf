"""`mps-stress try`, `mps-stress new` and `stress.check`: a model of one's own, without writing a scenario."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import threading

import torch

CREW = threading.Barrier(4)

def meet():
    # A busy machine may run all iterations of one thread before the next thread's: a race that nobody loses. One thread alone
    # (the references, the control) has nobody to meet.
    if sum(one.name.startswith("crew-") for one in threading.enumerate()) == CREW.parties:
        CREW.wait()

class TinyGPT(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(50, 8)
        self.register_buffer("cache", torch.zeros(6, 8))

    def forward(self, tokens, scale=1.0):
        self.cache.copy_(self.embed(tokens))
        meet()
        return self.cache.clone() * scale

class Fine(torch.nn.Linear):
    def __init__(self):
        super().__init__(6, 3)

READY = Fine().eval()

def make_model():
    return TinyGPT()

def make_batch():
    return torch.randint(0, 50, (6,))

def make_drawn(generator):
    return torch.randn(2, 6, generator=generator)

def make_keywords(generator):
    return {"input": torch.randn(2, 6, generator=generator)}

def make_arguments(generator):
    return (torch.randint(0, 50, (6,), generator=generator), 1.0)

def needs(width, depth):
    return None

def fails():
    raise OSError("no weights here")

def number():
    return 7
"""
SCRIPT = """
import os, sys
import torch
import stress
from chat import model

def setup(device):
    return model.TinyGPT().eval().to(device)

def make_input(generator):
    return torch.randint(0, 50, (6,), generator=generator)

def step(net, tokens):
    with torch.no_grad():
        return net(tokens)

def double(state, tokens):
    return tokens.to(torch.float32) * 2

def dies(state, tokens):
    import threading
    if threading.current_thread().name.startswith("crew"):
        os.abort()
    return tokens * 2

OPTIONS = {"make_input": make_input, "threads": 4, "device": "cpu", "attempts": 1, "iterations": 20}

if __name__ == "__main__":
    wrong = stress.check(step, setup=setup, seed=3, **OPTIONS)
    print(wrong)
    assert not wrong.ok and wrong.failures == 1 and wrong.verdict == "mismatch", wrong.verdict
    crash = stress.check(dies, **OPTIONS)
    assert crash.verdict == "crash" and "CRASH SIGABRT in 1 of 1 attempts" in repr(crash), crash
    right = stress.check(double, must_pass=True, **OPTIONS)
    print(right)
    assert right.ok and (right.failures, right.attempts) == (0, 1)
    try:
        stress.check(dies, must_pass=True, **OPTIONS)
    except AssertionError as error:
        print("raised", str(error).splitlines()[0])
    for bad in ({"device": "nope"}, {"threads": 0}, {"threads": 1}):
        try:
            stress.check(double, **{**OPTIONS, **bad})
        except ValueError as error:
            print("refused", error)
"""


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, capture_output=True, text=True, timeout=800, check=False
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


def command(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "stress.commands.cli", *args)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").touch()
    (tmp_path / "chat" / "model.py").write_text(APP)
    return tmp_path


class TestTry:
    QUICK = ("--device=cpu", "--threads=4", "--attempts=2", "--iterations=40", "--seed=5")

    def test_finds_a_shared_buffer_without_a_file_and_the_failure_can_be_replayed(self, app: Path) -> None:
        done = command(app, "try", "chat.model:make_model", "--input=chat.model:make_batch", *self.QUICK)
        assert done.returncode == 1, done.stderr
        assert re.search(r"^MakeModel\[t4\]: MISMATCH in \d of 2 attempts", done.stdout, re.MULTILINE)
        assert "control: one thread, same total work: 0 of 2 failed" in done.stdout
        replay = re.search(r"replay: mps-stress (replay \S+)", done.stdout)
        assert replay is not None
        again = command(app, *replay[1].split(), "--attempts=2")
        assert again.returncode in (0, 1), again.stderr
        assert re.search(r"fails \d of 2", again.stdout)

    @pytest.mark.parametrize(
        ("model", "made"),
        [
            ("Fine", "make_drawn"),
            ("Fine", "make_keywords"),
            ("READY", "make_drawn"),
        ],
    )
    def test_takes_a_class_or_a_model_and_inputs_of_each_kind(self, app: Path, model: str, made: str) -> None:
        done = command(
            app, "try", f"chat.model:{model}", f"--input=chat.model:{made}", *self.QUICK, "--attempts=1"
        )
        assert done.returncode == 0, done.stderr
        assert re.search(
            rf"^ {model.capitalize() if model == 'Fine' else model}\[t4\] +PASSED", done.stdout, re.MULTILINE
        )

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["chat.model:make_model"], "--input is missing: name a function that makes one input"),
            (["chat.model", "--input=x:y"], "chat.model: expected MODULE:NAME"),
            (["chat.model:make_mode", "--input=x:y"], "chat.model has no make_mode; did you mean make_model"),
            (["chats:make", "--input=x:y"], "no module chats in "),
            (["chat.model:make_model", "--input=chat.model:needs"], "chat.model:needs: it needs the arguments width, depth"),
            (["chat.model:make_drawn", "--input=chat.model:make_batch"], "chat.model:make_drawn: it needs an argument"),
            (["chat.model:fails", "--input=chat.model:make_batch"], "chat.model:fails: it raised OSError: no weights here"),
            (["chat.model:number", "--input=chat.model:make_batch"], "chat.model:number: it returned a int"),
            (["chat.broken:x", "--input=chat.model:make_batch"], "chat.broken cannot be imported: ZeroDivisionError"),
            (["chat.model:Fine", "--input=chat.model:make_drawn", "--threads=0"], "--threads=0: expected a whole number"),
        ],
    )  # fmt: skip
    def test_bad_input_is_one_sentence(self, app: Path, args: list[str], sentence: str) -> None:
        (app / "chat" / "broken.py").write_text("1 / 0\n")
        done = command(app, "try", *args)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("mps-stress try: ")
        assert sentence in line
        assert not (app / "results").exists()


class TestNew:
    def test_writes_a_scenario_that_runs_as_it_is(self, tmp_path: Path) -> None:
        done = command(tmp_path, "new", "scenarios/my_model.py")
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "wrote scenarios/my_model.py; run it: pytest --mps-threads=8 scenarios/my_model.py\n"
        )
        ran = run(
            tmp_path, "-m", "pytest", "--mps-threads=4", "--mps-device=cpu", "--mps-attempts=1", "scenarios/my_model.py"
        )  # fmt: skip
        assert ran.returncode == 0
        assert " MyModel[t4]" in ran.stdout

    def test_writes_nothing_over(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text("precious")
        done = command(tmp_path, "new", "mine.py")
        assert done.returncode == 2
        assert done.stderr == "mps-stress new: mine.py exists: choose another name, or remove it\n"
        assert (tmp_path / "mine.py").read_text() == "precious"

    def test_takes_a_model(self, app: Path) -> None:
        done = command(
            app, "new", "mine.py", "--model=chat.model:make_model", "--input=chat.model:make_arguments"
        )
        assert done.returncode == 0, done.stderr
        text = (app / "mine.py").read_text()
        assert "return chat.model.make_model().eval().to(device)" in text
        assert "return model(*x)" in text
        compile(text, "mine.py", "exec")

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["mine.txt"], "mine.txt: expected the name of a Python file"),
            (["mine.py", "--model=chat.model:Fine"], "--input is missing: --model and --input go together"),
        ],
    )
    def test_bad_input_is_one_sentence(self, app: Path, args: list[str], sentence: str) -> None:
        done = command(app, "new", *args)
        assert done.returncode == 2
        assert done.stderr.startswith(f"mps-stress new: {sentence}")
        assert len(done.stderr.splitlines()) == 1


class TestCheck:
    def test_of_a_script(self, app: Path) -> None:
        (app / "my_check.py").write_text(SCRIPT)
        done = run(app, "my_check.py")
        assert done.returncode == 0, done.stderr
        assert re.search(r"^Step\[t4\]: MISMATCH in 1 of 1 attempts", done.stdout, re.MULTILINE)
        assert (
            "Double[t4]: PASSED\n  1 item: 0 of 1 attempt failed; a failure rate below 95.0 %" in done.stdout
        )
        assert re.search(r"^raised Dies\[t4\]: CRASH SIGABRT in 1 of 1 attempts", done.stdout, re.MULTILINE)
        assert "refused device=nope: choose one of " in done.stdout
        assert "refused threads=0: " in done.stdout
        assert "refused threads=1: one thread tests nothing about threads" in done.stdout
        runs = list((app / "results" / "runs").iterdir())
        assert len(runs) == 4, "records of each"

    def test_a_script_without_a_guard_is_refused_in_one_sentence(self, app: Path) -> None:
        (app / "unguarded.py").write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
        done = run(app, "unguarded.py")
        assert done.returncode == 1
        assert done.stderr.rstrip().splitlines()[-1] == (
            "ValueError: stress.check was called while unguarded.py was being imported, as each child process does: put "
            'the call under `if __name__ == "__main__":`'
        )

    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            (
                "def step(s, x): return x",
                "step is step of an interactive session, which a child process cannot import",
            ),
            ("step = lambda s, x: x", "step is <lambda>, which a child process cannot import"),
            (
                "def outer():\n    def step(s, x): return x\n    return step\nstep = outer()",
                "step is outer.<locals>.step, which a child process cannot import",
            ),
            ("import functools, operator; step = functools.partial(operator.add)", "step is partial, which"),
        ],
    )
    def test_what_a_child_cannot_import_is_never_run_in_this_process(
        self, tmp_path: Path, code: str, sentence: str
    ) -> None:
        done = run(tmp_path, "-c", f"import stress\n{code}\nstress.check(step, device='cpu')")
        assert done.returncode == 1
        assert done.stderr.rstrip().splitlines()[-1].startswith(f"ValueError: {sentence}")
        assert not (tmp_path / "results").exists()

    def test_a_cell_of_a_notebook_is_none(self, tmp_path: Path) -> None:
        """IPython gives a cell's code the name of a file that does not exist."""
        code = "exec(compile('def step(s, x): return x', '/tmp/ipykernel_1/2.py', 'exec'))"
        (tmp_path / "kernel.py").write_text(
            f"import stress\n{code}\nif __name__ == '__main__':\n    stress.check(step, device='cpu')\n"
        )
        done = run(tmp_path, "kernel.py")
        assert "in a notebook: %%writefile my_steps.py" in done.stderr
