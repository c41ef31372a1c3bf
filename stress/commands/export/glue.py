"""The plain code around a scenario: threads from one barrier, and the comparison with what one thread gets.

What is written here is text of the exported file. It says as little as the scenario at hand needs.
"""

from __future__ import annotations

import json
import re

from stress.commands import CommandError
from stress.commands.export.closure import HERE
from stress.commands.export.closure import Copied
from stress.commands.export.subject import SEED
from stress.commands.export.subject import CoreBlock
from stress.commands.export.subject import ExportSpec
from stress.model.spec import READBACKS

SWITCH_INTERVAL = "1e-5"
NAMES = (
    "Pauses",
    "difference",
    "digest",
    "look_up_operators",
    "main",
    "make_inputs",
    "make_state",
    "moved",
    "outcome",
    "pause",
    "run_alone",
    "run_threads",
)
"""Names of the glue's own that a scenario's file may use for something else."""

MOVED = '''\
def moved(value, device):
    """Copy the tensors of a nested value to a device."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(one, device) for one in value)
    return value
'''

OUTCOME = '''\
def outcome(step, state, x):
    """Return what a step returns, or the exception that it raises."""
    try:
        return step(state, x)
    except Exception as error:
        return error
'''

DIGEST = '''\
def digest(value):
    """Return three numbers in place of each tensor, whose memory is free again at once."""
    if isinstance(value, torch.Tensor):
        wide = (torch.view_as_real(value) if value.is_complex() else value).detach().float()
        return torch.stack([wide.mean(), wide.max(), wide.min()]) if wide.numel() else wide
    if isinstance(value, dict):
        return {key: digest(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(digest(one) for one in value)
    return value
'''

PAUSES = '''\
class Pauses(TorchDispatchMode):
    """Let other threads come in between two operators now and then."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if random.random() < 0.3:
            time.sleep(1e-6)
        return func(*args, **(kwargs or {}))


def look_up_operators():
    """Have torch look all its operators up: two threads that do so at once, below Pauses, make it crash."""
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, operator = name.partition("::")
        operator, _, overload = operator.partition(".")
        try:
            getattr(getattr(getattr(torch.ops, namespace), operator), overload or "default")
        except (AttributeError, RuntimeError):
            pass  # it has no schema
'''

PAUSE = '''\
def pause(frame, event, argument):
    """Let other threads come in between two lines of this file now and then: a function for sys.settrace."""
    if frame.f_code.co_filename != __file__:
        return None
{opcodes}    if random.random() < {share}:
        time.sleep(1e-6)
    return pause
'''


class Glue:
    """Makes the functions of an exported file for one subject."""

    def __init__(self, subject: ExportSpec, copied: Copied) -> None:
        self.subject, self.copied = subject, copied
        self.many_waves = len(subject.waves) > 1
        if subject.readback not in READBACKS:
            raise CommandError(f"readback {subject.readback!r} cannot be exported")

    @property
    def workers(self) -> int:
        return sum(threads for threads, _ in self.subject.waves)

    def fit(self, text: str) -> str:
        """Return glue in which no name means what the scenario's own code calls by it."""
        taken = {
            name for name in NAMES if re.search(rf"^(def|class) {name}\b|^{name}\b", self.copied.code, re.M)
        }
        for name in taken:
            text = re.sub(rf"(?<![\w.]){name}(?!\w)", f"{name}_", text)
        return text

    def constants(self) -> str:
        subject = self.subject
        lines = []
        if self.many_waves:
            lines += [
                f"WAVES = {tuple(subject.waves)!r}  # crews of (threads, iterations), one after another"
            ]
        else:
            threads, iterations = subject.waves[0]
            lines += [f"THREADS = {threads}", f"ITERATIONS = {iterations}"]
        return "\n".join([*lines, f"SEED = {SEED}", f'DEVICE = torch.device("{subject.torch_device}")'])

    def device_block(self) -> str:
        """Return what loads the simulated device or a tree's core, or nothing."""
        sim = self.subject.sim
        if self.subject.core is not None:
            return _core_block(self.subject.core)
        if sim is None:
            return ""
        if sim.key != "mps":
            raise CommandError(
                "the simulated device of this torch build is PrivateUse1, which takes more than a file to load: "
                "export with --device=mps, or with a torch that has no CUDA, ROCm or XPU"
            )
        faults = ", and has seeded faults" if "faults=" in sim.configure else ""
        return (
            f'# SIMULATED, not Metal: on Linux this library of mps-stress takes torch\'s "mps" key{faults}.\n'
            "# With a real device, delete this block: nothing else here knows of it.\n"
            f"torch.ops.load_library({json.dumps(sim.library)})\n"
            "torch._C._has_mps = True  # torch looked for the device when it was imported\n"
            "torch.ops.mps_stress_sim.configure(\n"
            f"    {json.dumps(sim.configure + sim.pool_wait)}\n"
            '    f";seed={random.getrandbits(62)};schedule_seed={random.getrandbits(62)}"\n'
            ")"
        )

    def after_helpers(self) -> str:
        """Return what gives torch.mps the names of the simulated fork, where they are used."""
        if self.subject.sim is None:
            return ""
        lines = []
        if "BatchQueue" in self.copied.code:
            lines.append("torch.mps.BatchQueue = BatchQueue")
        if "release_current_thread_slot" in self.copied.code:
            lines.append(
                "torch.mps.release_current_thread_slot = torch.ops.mps_stress_sim.release_current_thread_slot"
            )
        return "\n".join(lines)

    def functions(self) -> list[str]:
        """Return all functions, in the order in which they read best."""
        subject = self.subject
        made = [f"{HERE} = threading.local()  # which thread runs which iteration"] if self._uses_here else []
        made += [MOVED, OUTCOME]
        made += [DIGEST] if subject.readback == "digest" else []
        if subject.perturb == "op":
            made.append(PAUSES)
        elif subject.perturb in ("line", "opcode"):
            opcodes = "    frame.f_trace_opcodes = True\n" if subject.perturb == "opcode" else ""
            share = "0.05" if opcodes else "0.3"
            made.append(PAUSE.format(opcodes=opcodes, share=share))
        made += [self._make_state(), self._make_inputs(), self._run_threads(), self._run_alone()]
        return [self.fit(one).strip("\n") for one in made]

    @property
    def _uses_here(self) -> bool:
        return bool(self.copied.step_fields)

    def _make_state(self) -> str:
        subject = self.subject
        setup = "scenario.setup(device)" if subject.has("setup") else "None"
        if subject.per_thread:
            setup = f"[{setup} for _ in range({self._all_threads})]"
        shared = "one for each thread" if subject.per_thread else "which the threads share"
        return (
            "def make_state(scenario, device):\n"
            f'    """Return the state, {shared}: the same in every call."""\n'
            "    torch.manual_seed(SEED)\n"
            f"    return {setup}\n"
        )

    @property
    def _all_threads(self) -> str:
        return "sum(threads for threads, _ in WAVES)" if self.many_waves else "THREADS"

    def _make_inputs(self) -> str:
        has = self.subject.has("make_input")
        one = "scenario.make_input(generator)" if has else "None"
        draw = "    generator = torch.Generator().manual_seed(SEED)\n" if has else ""
        if self.many_waves:
            loop = f"[[{one} for _ in range(iterations)] for threads, iterations in WAVES for _ in range(threads)]"
        else:
            loop = f"[[{one} for _ in range(ITERATIONS)] for _ in range(THREADS)]"
        return (
            "def make_inputs(scenario):\n"
            '    """Return inputs[thread][iteration], on the CPU."""\n'
            f"{draw}    return {loop}\n"
        )

    def _state(self) -> str:
        return "state[thread]" if self.subject.per_thread else "state"

    def _step(self, thread: str) -> str:
        if not self.subject.has("steps"):
            return "scenario.step"
        return f"scenario.steps()[{thread} % len(scenario.steps())]"

    def _here_lines(self, indent: str, thread: str, iteration: str) -> str:
        """Return what tells the step where it is."""
        fields = self.copied.step_fields
        if not fields:
            return ""
        values = {"thread_index": thread, "iteration": iteration}
        if "thread_count" in fields:
            values["thread_count"] = "threads" if self.many_waves else "THREADS"
        if "wave" in fields:
            values["wave"] = "wave" if self.many_waves else "0"
        if "stream" in fields:
            values["stream"] = "None"
        left = ", ".join(f"{HERE}.{name}" for name in values)
        return f"{indent}{left} = {', '.join(values.values())}\n"

    def _run_threads(self) -> str:
        """Return the crew's function. `thread` counts through all waves, `number` within one."""
        subject, many = self.subject, self.many_waves
        number = "number" if many else "thread"
        arguments = "scenario, state, inputs" + (", wave, first, threads, iterations" if many else "")
        threads, iterations = ("threads", "iterations") if many else ("THREADS", "ITERATIONS")
        deep = " " * (12 if subject.perturb == "op" else 8)
        lines = [
            f"def run_threads({arguments}):",
            '    """Run all threads from one barrier; return outputs[thread][iteration]."""',
            *(["    look_up_operators()"] if subject.perturb == "op" else []),
            f"    barrier = threading.Barrier({threads})",
            f"    outputs = [[None] * {iterations} for _ in range({threads})]",
            "",
            f"    def work({number}):",
            "        torch.set_num_threads(1)",
            *([f"        thread = first + {number}"] if many else []),
            f"        step = {self._step(number)}",
            *self._trace(),
            "        barrier.wait()",
            *(["        with Pauses():"] if subject.perturb == "op" else []),
            f"{deep}for iteration in range({iterations}):",
        ]
        here = self._here_lines(f"{deep}    ", number, "iteration").rstrip("\n")
        lines += [here] if here else []
        x = "inputs[thread][iteration]"
        value = f"outcome(step, {self._state()}, {f'moved({x}, DEVICE)' if subject.has('make_input') else x})"
        lines += [f"{deep}    {line}" for line in self._readback(value, f"outputs[{number}]")]
        lines += [
            "",
            f"    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in range({threads})]"
            if not many
            else f"    crew = [threading.Thread(target=work, args=(one,), daemon=True) for one in range({threads})]",
        ]
        crew = "crew" if many else "threads"
        lines += [f"    for one in {crew}:", "        one.start()"]
        if subject.has("main_step"):
            lines += [
                f"    while any(one.is_alive() for one in {crew}):",
                "        scenario.main_step(state)",
            ]
        lines += [f"    for one in {crew}:", "        one.join()", "    return outputs", ""]
        return "\n".join(lines)

    def _trace(self) -> list[str]:
        return ["        sys.settrace(pause)"] if self.subject.perturb in ("line", "opcode") else []

    def _readback(self, value: str, outputs: str) -> list[str]:
        """Return how an output is kept: when it is read back changes what can go wrong."""
        readback = self.subject.readback
        if readback == "every":
            return [f'{outputs}[iteration] = moved({value}, "cpu")']
        if readback == "digest":
            return [f"{outputs}[iteration] = digest({value})"]
        if self.subject.has("setup"):
            value = f"moved({value}, DEVICE)"  # a copy: a step may return what a later one changes
        lines = [f"{outputs}[iteration] = {value}"]
        if readback == "every-4th":
            lines += [
                "if iteration % 4 == 3:",
                f'    {outputs}[iteration - 3 : iteration + 1] = moved({outputs}[iteration - 3 : iteration + 1], "cpu")',
            ]
        return lines

    def _run_alone(self) -> str:
        """Return the sequential run: its values are what every thread should get."""
        subject = self.subject
        lines = ["def run_alone(scenario, inputs, device):"]
        finished = ", and the final state" if subject.has("finish") else ""
        lines.append(f'    """Return what one thread alone gets{finished}: outputs[thread][iteration]."""')
        if subject.has("reference"):
            lines += ["    inputs = moved(inputs, device)", "    torch.manual_seed(SEED)"]
            if subject.has("finish"):
                lines += [
                    '    outputs, finished = moved(scenario.reference(device, inputs), "cpu")',
                    "    return outputs, finished[0]",
                    "",
                ]
            else:
                lines += ['    return moved(scenario.reference(device, inputs), "cpu")', ""]
            return "\n".join(lines)
        lines += ["    state = make_state(scenario, device)", "    outputs = []"]
        if self.many_waves:
            lines += [
                "    for wave, (threads, iterations) in enumerate(WAVES):",
                "        for number in range(threads):",
                "            thread = len(outputs)",
            ]
            deep, number, iterations = " " * 12, "number", "iterations"
        else:
            lines.append("    for thread in range(THREADS):")
            deep, number, iterations = " " * 8, "thread", "ITERATIONS"
        lines += [f"{deep}step = {self._step(number)}", f"{deep}outputs.append([])"]
        lines.append(f"{deep}for iteration in range({iterations}):")
        here = self._here_lines(f"{deep}    ", number, "iteration").rstrip("\n")
        lines += [here] if here else []
        x = "inputs[thread][iteration]"
        moved_x = f"moved({x}, device)" if subject.has("make_input") else x
        value = f"outcome(step, {self._state()}, {moved_x})"
        value = f"digest({value})" if subject.readback == "digest" else value
        lines.append(f'{deep}    outputs[-1].append(moved({value}, "cpu"))')
        if subject.has("finish"):
            lines.append(f"    return outputs, {self.finish()}")
        else:
            lines.append("    return outputs")
        return "\n".join([*lines, ""])

    def finish(self) -> str:
        """Return the arbiter's value for the state called `state`."""
        return 'moved(scenario.finish(state), "cpu")'

    def crew_lines(self) -> list[str]:
        """Return the statements that run the crew, with `scenario`, `state` and `inputs` there."""
        if not self.many_waves:
            return ["outputs = run_threads(scenario, state, inputs)"]
        return [
            "outputs = []",
            "for wave, (threads, iterations) in enumerate(WAVES):",
            "    outputs += run_threads(scenario, state, inputs, wave, len(outputs), threads, iterations)",
        ]

    def synchronized(self, lines: list[str]) -> list[str]:
        """Return the lines with a wait before, for what this thread made, and after, for what the others did."""
        device = self.subject.torch_device
        if device == "cpu":
            return lines
        return [f"torch.{device}.synchronize()", *lines, f"torch.{device}.synchronize()"]

    def expected_lines(self) -> list[str]:
        """Return the statement that makes the expected values."""
        finished = ", finished" if self.subject.has("finish") else ""
        where = "DEVICE" if self.subject.compares else 'torch.device("cpu")'
        return [f"expected{finished} = run_alone(scenario, inputs, {where})"]


def _core_block(core: CoreBlock) -> str:
    return (
        f"# SIMULATED Metal below {core.tree}.\n"
        "# mps-stress core build --pytorch=TREE builds this library. With a real device, delete this block: nothing else here\n"
        "# knows of it.\n"
        f"torch.ops.load_library({json.dumps(core.library)})\n"
        f"CORE = ctypes.PyDLL({json.dumps(core.library)})\n"
        f'CORE.simulated_metal_configure(f"completion={core.completion};seed={{random.getrandbits(62)}}".encode())\n'
        "CORE.mps_stress_core_install.argtypes = [ctypes.py_object]\n"
        "CORE.mps_stress_core_install(torch._C)  # the tree's functions for Python\n"
        "torch._C._has_mps = True  # torch looked for the device when it was imported"
    )
