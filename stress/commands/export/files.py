"""The two kinds of file: a script that fails by itself, and a test in the style of torch's own test_mps.py."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable
from collections.abc import Sequence

from stress.commands.export.closure import Closure
from stress.commands.export.closure import Copied
from stress.commands.export.foreign import Foreign
from stress.commands.export.foreign import foreign_imports
from stress.commands.export.foreign import is_foreign
from stress.commands.export.glue import SWITCH_INTERVAL
from stress.commands.export.glue import Glue
from stress.commands.export.subject import ExportSpec
from stress.scenario.sequences.generated import GeneratedScenario

DEADLINE_S = 20
_ALWAYS = ("threading",)
_STANDARD = ("ctypes", "faulthandler", "os", "random", "subprocess", "sys", "threading", "time", "unittest")


def script(subject: ExportSpec, heading: Sequence[str] = (), deadline_s: int = DEADLINE_S) -> str:
    """Return a script: it exits with 1 and says what was wrong, dies, or ends after a deadline with all stacks."""
    glue = _glue(subject)
    doc = [*_title(subject), "", *heading, *([""] if heading else [])]
    doc.append(
        "Run it a few times: python THIS_FILE. Status 0: this run was clean; else it says what was wrong, or dies."
    )
    main = _process_main(subject, deadline_s) if subject.is_process else _script_main(glue, deadline_s)
    return _file(glue, doc, main, {"faulthandler", "sys"})


def unittest_file(subject: ExportSpec, heading: Sequence[str] = ()) -> str:
    """Return a test file without this package; its head says what it needs beside torch."""
    glue = _glue(subject)
    test = _process_test(subject) if subject.is_process else _thread_test(glue)
    modules = {"unittest"} | ({"subprocess", "sys"} if subject.is_process else set())
    return _file(glue, [*_title(subject), *(["", *heading] if heading else [])], test, modules)


def _glue(subject: ExportSpec) -> Glue:
    scenario = subject.scenario
    plain = scenario.plain_members() if isinstance(scenario, GeneratedScenario) else {}
    closure = Closure(subject.cls, subject.values(), plain)
    copied = closure.copy()
    if subject.sim is not None and "BatchQueue" in copied.code:
        closure.need("stress.device.sim.batch_queue", "BatchQueue")
        copied = closure.text()
    return Glue(subject, copied)


def _title(subject: ExportSpec) -> list[str]:
    doc = inspect.cleandoc(subject.cls.__doc__ or subject.cls.__name__).splitlines()
    threads = "" if subject.is_process or len(subject.waves) > 1 else f"{subject.waves[0][0]} threads: "
    return [f"{threads}{doc[0]}", *doc[1:]]


def _file(glue: Glue, doc: Sequence[str], main: str, modules: set[str]) -> str:
    """Put a file together: docstring, imports, constants, device, the scenario's code, the glue, the end."""
    subject, copied = glue.subject, glue.copied
    functions = [] if subject.is_process else glue.functions()
    blocks = [glue.constants() if not subject.is_process else _device_constant(subject), glue.device_block()]
    constants = "\n\n".join(one for one in blocks if one)
    parts = [copied.helpers, glue.after_helpers(), copied.code, *functions, main]
    body = "\n\n\n".join(one for one in [constants, *parts] if one)
    foreign = foreign_imports("\n".join([*copied.imports, body]))
    imports = _imports(copied, body, modules, subject, foreign)
    text = "\n".join(["from __future__ import annotations", "", *imports])
    return f'"""{_doc([*doc, "", *foreign.lines])}\n"""\n\n{text}\n\n{body}\n'


def _doc(lines: Sequence[str]) -> str:
    wrapped: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped += textwrap.wrap(
            line, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    text = "\n".join(wrapped)
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _imports(
    copied: Copied, body: str, modules: set[str], subject: ExportSpec, foreign: Foreign
) -> list[str]:
    """Return the import lines: the scenario's own, and those of the standard library that the text mentions.

    What may import torch comes after the variables that torch reads.
    """
    own = set(copied.imports)
    standard = {
        f"import {name}" for name in _STANDARD if name in modules or re.search(rf"\b{name}\.\w", body)
    }
    third = {one for one in own if is_foreign(one) or "torch" in one.split()[1]} | {"import torch"}
    lines = {*own, *standard} - third
    if "TorchDispatchMode" in body:
        third.add("from torch.utils._python_dispatch import TorchDispatchMode")
        # Else the first threads to enter the mode import it, all at once and within the deadline: seconds on a busy machine.
        third.add("import torch._dynamo")
    first = _environment(subject)
    if foreign.folders:
        lines.add("import sys")
        first += ["", f"sys.path[:0] = {list(foreign.folders)!r}"]
    return [*sorted(lines, key=_order), *first, "", *sorted(third, key=_order), ""]


def _environment(subject: ExportSpec) -> list[str]:
    if not subject.env:
        return []
    return ["", "import os", ""] + [
        f"os.environ[{name!r}] = {value!r}  # before torch is imported" for name, value in subject.env.items()
    ]


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _device_constant(subject: ExportSpec) -> str:
    return f'DEVICE = torch.device("{subject.torch_device}")'


def _difference(glue: Glue) -> str:
    subject = glue.subject
    if subject.compares:
        check = (
            "    verdict = scenario.compare(got, expected)\n"
            '    return "" if verdict is True else f"wrong value: {verdict or \'not as expected\'}"\n'
        )
    else:
        check = (
            "    try:\n"
            f"        torch.testing.assert_close(got, expected, rtol={subject.rtol}, atol={subject.rtol}, equal_nan=True)\n"
            "    except Exception as error:\n"
            "        return f\"wrong value: {' '.join(str(error).split())}\"\n"
            '    return ""\n'
        )
    return (
        f"def difference({'scenario, ' if subject.compares else ''}got, expected):\n"
        '    """Return what is wrong with one output, or nothing."""\n'
        "    if isinstance(got, Exception) or isinstance(expected, Exception):\n"
        '        return "" if isinstance(expected, Exception) and isinstance(got, Exception) else f"exception: {got!r}"\n'
        f"{check}"
    )


def _script_main(glue: Glue, deadline_s: int) -> str:
    subject = glue.subject
    late = subject.compares
    call = "difference(scenario, " if subject.compares else "difference("
    lines = [
        f"sys.setswitchinterval({SWITCH_INTERVAL})  # threads take turns more often than every 5 ms",
        "faulthandler.enable()",
        f"faulthandler.dump_traceback_later({deadline_s}, exit=True)  # a hang ends here, with all stacks",
        f"scenario = {subject.cls.__name__}()",
        "inputs = make_inputs(scenario)",
        *([] if late else glue.expected_lines()),
        "state = make_state(scenario, DEVICE)",
    ]
    if subject.has("make_input"):
        lines.append("inputs = moved(inputs, DEVICE)")
    lines += glue.synchronized(glue.crew_lines())
    lines += [f"got = {glue.finish()}"] if subject.has("finish") else []
    lines += ['outputs = moved(outputs, "cpu")']
    lines += glue.expected_lines() if late else []
    lines += [
        "problems = []",
        "for thread, of_thread in enumerate(outputs):",
        "    for iteration, output in enumerate(of_thread):",
        f"        problem = {call}output, expected[thread][iteration])",
        "        if problem:",
        '            problems.append(f"{problem} (thread {thread}, iteration {iteration})")',
    ]
    if subject.has("finish"):
        lines += [
            f"problem = {call}got, finished)",
            "if problem:",
            '    problems.append(f"{problem} (final state)")',
        ]
    lines += [
        'print("\\n".join(problems[:5]))',
        'print(f"{len(problems)} problems")',
        "sys.exit(1 if problems else 0)",
    ]
    main = "def main():\n" + textwrap.indent("\n".join(lines), "    ")
    end = 'if __name__ == "__main__":\n    main()'
    return "\n\n\n".join(glue.fit(one.rstrip("\n")) for one in (_difference(glue), main, end))


def _process_main(subject: ExportSpec, deadline_s: int) -> str:
    return (
        'if __name__ == "__main__":\n'
        "    faulthandler.enable()\n"
        f"    faulthandler.dump_traceback_later({deadline_s}, exit=True)  # a hang ends here, with all stacks\n"
        f"    torch.manual_seed(1)\n"
        f"    {subject.cls.__name__}().body(DEVICE)  # and what matters: how the interpreter ends after it"
    )


def _class_line(subject: ExportSpec) -> list[str]:
    lines = []
    if subject.torch_device == "mps":
        lines.append('@unittest.skipUnless(torch.backends.mps.is_available(), "needs an MPS device")')
    elif subject.torch_device == "cuda":
        lines.append('@unittest.skipUnless(torch.cuda.is_available(), "needs a CUDA device")')
    return [*lines, f"class Test{subject.cls.__name__}(unittest.TestCase):"]


def _thread_test(glue: Glue) -> str:
    subject = glue.subject
    count = glue.workers if glue.many_waves else subject.waves[0][0]
    late = subject.compares
    lines = [f"def test_{count}_threads(self):", f"    scenario = {subject.cls.__name__}()"]
    lines += ["    inputs = make_inputs(scenario)"]
    lines += [] if late else _in(glue.expected_lines())
    lines += ["    state = make_state(scenario, DEVICE)"]
    if subject.has("make_input"):
        lines.append("    inputs = moved(inputs, DEVICE)")
    lines += _in(glue.synchronized(glue.crew_lines()))
    lines += [f"    got = {glue.finish()}"] if subject.has("finish") else []
    lines += ['    outputs = moved(outputs, "cpu")']
    lines += _in(glue.expected_lines()) if late else []
    check = "self.check(scenario, " if late else "self.check("
    lines += [
        "    for thread, of_thread in enumerate(outputs):",
        "        for iteration, output in enumerate(of_thread):",
        "            with self.subTest(thread=thread, iteration=iteration):",
        f"                {check}output, expected[thread][iteration])",
    ]
    if subject.has("finish"):
        lines += ['    with self.subTest("final state"):', f"        {check}got, finished)"]
    text = "\n".join([*_class_line(subject), *_in([*lines, "", *_check(subject)])])
    end = 'if __name__ == "__main__":\n    unittest.main()'
    return "\n\n\n".join(glue.fit(one) for one in (text, end))


def _check(subject: ExportSpec) -> list[str]:
    head = "scenario, got, expected" if subject.compares else "got, expected"
    lines = [
        f"def check(self, {head}):",
        "    if isinstance(got, Exception) and not isinstance(expected, Exception):",
        "        raise got",
        "    if isinstance(expected, Exception):",
        "        self.assertIsInstance(got, Exception, expected)",
        "        return",
    ]
    if subject.compares:
        lines.append("    self.assertIs(scenario.compare(got, expected), True)")
    else:
        lines.append(
            f"    torch.testing.assert_close(got, expected, rtol={subject.rtol}, atol={subject.rtol}, equal_nan=True)"
        )
    return lines


def _process_test(subject: ExportSpec) -> str:
    lines = [
        "def test_its_process_ends_well(self):",
        "    # The subject is how the interpreter ends, so it runs in a separate process.",
        '    done = subprocess.run([sys.executable, __file__, "body"], capture_output=True, text=True, timeout=300)',
        "    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)",
    ]
    text = "\n".join([*_class_line(subject), *_in(lines)])
    end = (
        'if __name__ == "__main__":\n'
        '    if sys.argv[1:] == ["body"]:\n'
        "        torch.manual_seed(1)\n"
        f"        {subject.cls.__name__}().body(DEVICE)\n"
        "    else:\n"
        "        unittest.main()"
    )
    return f"{text}\n\n\n{end}"


def _in(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]
