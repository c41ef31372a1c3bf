"""`mps-stress doctor`: what is really there, what is not, and texts of a Mac's tools that were never seen here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress.commands.doctor import machine
from stress.commands.doctor import metal
from stress.commands.doctor import switches
from stress.commands.doctor import torch_lines
from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.commands.doctor.metal import MetalFacts
from stress.commands.doctor.report import is_ready
from stress.commands.doctor.report import text_of
from stress.commands.doctor.sanitizer_lines import canary_line
from stress.commands.doctor.torch_probe import openmp_of
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain

FINGERPRINT: dict[str, Any] = {
    "version": "2.15.0",
    "git": "c" * 40,
    "file": "/x/torch/__init__.py",
    "debug": False,
    "features": dict.fromkeys(torch_lines.UPSTREAM_FEATURES, True),
}
MAC = MetalFacts(
    system="Darwin",
    macos="26.1",
    build="25B78",
    chip="Apple M2 Pro",
    machine="arm64",
    is_translated=False,
    is_virtual=False,
    gpus=("Apple M2 Pro",),
    session="Aqua",
    is_sandboxed=False,
    is_mps_built=True,
)
HIDDEN = replace(MAC, unavailable="no Metal device is visible")


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stress.commands.cli", "doctor", *arguments],
        capture_output=True, text=True, timeout=800, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the command says here, with two switches set: torch is imported once for all tests."""
    folder = tmp_path_factory.mktemp("doctor")
    done = doctor(
        "--json",
        f"--results={folder}",
        f"--torch-source={folder}",
        MTL_DEBUG_LAYER="1",
        CUDA_LAUNCH_BLOCKING="1",
    )
    assert done.stderr == ""
    return {"status": done.returncode, **json.loads(done.stdout)}


def named(here: Mapping[str, Any], name: str) -> dict[str, str]:
    return next(one for one in here["lines"] if one["name"] == name)


@pytest.mark.skipif(sys.platform != "linux", reason="says what Linux has")
class TestOnThisMachine:
    def test_a_macs_lines_are_not_applicable_and_never_ok(self, here: dict[str, Any]) -> None:
        for name in ("Metal", "macOS", "chip", "crash reports", "power", "sleep", "capabilities"):
            assert (named(here, name)["status"], named(here, name)["detail"]) == ("n/a", "Linux")

    def test_torch_is_the_one_that_is_installed(self, here: dict[str, Any]) -> None:
        import torch

        build = named(here, "build")
        assert torch.__version__ in build["detail"]
        assert torch.__file__ in build["detail"]

    def test_a_tree_that_is_no_checkout_is_missing_and_exits_1(self, here: dict[str, Any]) -> None:
        assert named(here, "source tree")["status"] == "missing"
        assert here["status"] == 1
        assert here["ready"] is False

    def test_switches_are_told_with_their_meaning(self, here: dict[str, Any]) -> None:
        assert "validation" in named(here, "MTL_DEBUG_LAYER=1")["detail"]
        assert named(here, "CUDA_LAUNCH_BLOCKING=1")["status"] == "warning"
        assert named(here, "CUDA_LAUNCH_BLOCKING=1")["way_out"] == "unset CUDA_LAUNCH_BLOCKING"

    def test_the_simulated_device_is_looked_for(self, here: dict[str, Any]) -> None:
        assert named(here, "simulated")["status"] in ("ok", "warning")


class TestCommand:
    def test_a_folder_that_is_not_there_is_status_2(self) -> None:
        done = doctor("--torch-source=/nothing/there")
        assert done.returncode == 2
        assert done.stderr == "mps-stress doctor: --torch-source=/nothing/there: no such folder\n"

    def test_a_torch_that_cannot_be_imported_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "torch.py").write_text("raise ImportError('libomp.dylib is missing')\n")
        done = doctor("--json", PYTHONPATH=str(tmp_path))
        assert done.returncode == 1
        build = named(json.loads(done.stdout), "build")
        assert build["status"] == "missing"
        assert "libomp.dylib is missing" in build["detail"]


class TestMetal:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            (replace(HIDDEN, is_translated=True), "Rosetta"),
            (replace(HIDDEN, is_mps_built=False), "no MPS support"),
            (replace(HIDDEN, macos="13.6"), "older than 14"),
            (replace(HIDDEN, is_sandboxed=True), "sandbox"),
            (replace(HIDDEN, is_virtual=True, gpus=()), "virtual machine without a GPU"),
            (replace(HIDDEN, gpus=()), "no GPU with Metal"),
            (replace(HIDDEN, session="Background"), "not graphical"),
            (HIDDEN, "cause unknown"),
        ],
    )
    def test_a_hidden_device_has_a_reason_and_a_way_out(self, facts: MetalFacts, reason: str) -> None:
        line = metal.explain(facts)
        assert line.status == Status.MISSING
        assert reason in line.detail
        assert line.way_out

    def test_further_reasons_are_told(self) -> None:
        line = metal.explain(replace(HIDDEN, is_sandboxed=True, session="System"))
        assert "sandbox" in line.detail
        assert "also: this session (System)" in line.detail

    def test_a_real_gpu_is_ok_and_a_virtual_one_is_not(self) -> None:
        assert metal.explain(MAC).status == Status.OK
        virtual = metal.explain(replace(MAC, is_virtual=True, gpus=("Apple Paravirtual device",)))
        assert virtual.status == Status.WARNING
        assert metal.explain(replace(MAC, is_virtual=None)).status == Status.WARNING

    def test_the_profilers_text_is_read_and_other_text_is_not(self) -> None:
        listed = {"SPDisplaysDataType": [{"_name": "kHW_AppleM2", "sppci_model": "Apple M2", "spdisplays_mtlgpufamilysupport": "spdisplays_metal3"}, {"_name": "old"}]}  # fmt: skip
        assert metal.gpus_of(json.dumps(listed)) == ("Apple M2",)
        for text in (
            None,
            "",
            "[]",
            '{"SPDisplaysDataType": 3}',
            '{"SPDisplaysDataType": [3]}',
            "[" * 100_000,
        ):
            assert metal.gpus_of(text) is None


class TestTorch:
    def lines(self, probe: Mapping[str, Any] | str) -> dict[str, CheckResult]:
        return {one.name: one for one in torch_lines.torch_lines(probe, None, "Darwin")}

    def test_features_are_found_by_name(self) -> None:
        lines = self.lines({"fingerprint": FINGERPRINT, "openmp": [], "mps": {"unavailable": "x"}})
        assert lines["upstream's streams"].status == Status.OK
        assert lines["fork-only functions"].status == Status.NOT_APPLICABLE
        assert lines["capabilities"].status == Status.NOT_KNOWN

    def test_half_of_a_patch_is_a_warning(self) -> None:
        features = {torch_lines.FORK_FEATURES[0]: True}
        lines = self.lines({"fingerprint": {**FINGERPRINT, "features": features}, "openmp": []})
        assert lines["fork-only functions"].status == Status.WARNING

    def test_a_build_without_a_commit_is_a_warning(self) -> None:
        lines = self.lines({"fingerprint": {**FINGERPRINT, "git": "Unknown"}, "openmp": []})
        assert lines["build"].status == Status.WARNING

    def test_capabilities_that_lack_are_told(self) -> None:
        probe = {
            "fingerprint": FINGERPRINT,
            "openmp": [],
            "mps": {"unavailable": None, "capabilities": ["events"]},
        }
        assert "not: streams" in self.lines(probe)["capabilities"].detail

    def test_two_openmp_runtimes_are_a_warning(self) -> None:
        paths = ["/a/torch/lib/libomp.dylib", "/a/sklearn/.dylibs/libomp.dylib", "/usr/lib/libcompiler.so"]
        loaded = openmp_of(paths)
        assert len(loaded) == 2
        assert torch_lines.openmp_line(loaded, []).status == Status.WARNING
        assert torch_lines.openmp_line(loaded[:1], []).status == Status.OK
        assert torch_lines.openmp_line(loaded[:1], loaded).status == Status.WARNING

    def test_runtimes_of_installed_packages_are_found(self, tmp_path: Path) -> None:
        wanted = tmp_path / "scikit_learn.libs" / "libgomp-d22c30c5.so.1.0.0"
        for path in (wanted, tmp_path / "torch" / "lib" / "libbackend_with_compiler.so"):
            path.parent.mkdir(parents=True)
            path.touch()
        assert torch_lines.installed_openmp(tmp_path) == [str(wanted)]


class TestSwitches:
    def test_secrets_stay_out(self) -> None:
        lines = switches.switch_lines({"PYTORCH_TOKEN": "x", "MPS_API_KEY": "x", "HOME": "/x"})
        assert [line.status for line in lines] == [Status.OK]
        assert lines[0].name == "switches"

    @pytest.mark.parametrize(
        "name", ["MTL_NEW", "PYTORCH_NEW", "MPS_NEW", "MallocNew", "OBJC_NEW", "METAL_NEW"]
    )
    def test_an_unknown_switch_is_told_as_one(self, name: str) -> None:
        (line,) = switches.switch_lines({name: "1"})
        assert line.name == f"{name}=1"
        assert line.detail

    def test_a_value_cannot_write_to_the_terminal(self) -> None:
        (line,) = switches.switch_lines({"MPS_X": "\x1b[2J" + "x" * 500})
        assert "\x1b" not in line.name
        assert len(line.name) < 80

    def test_every_known_switch_comes_before_its_family(self) -> None:
        for number, switch in enumerate(switches.SWITCHES):
            if switch.pattern.pattern.isalnum() or (
                "_" in switch.pattern.pattern and "*" not in switch.pattern.pattern
            ):
                name = switch.pattern.pattern
                earlier = [one for one in switches.SWITCHES[:number] if one.pattern.fullmatch(name)]
                assert not earlier, name


class TestMachine:
    @pytest.mark.parametrize(
        ("text", "status"),
        [
            ("Now drawing from 'AC Power'\n -InternalBattery-0 100%", Status.OK),
            ("Now drawing from 'Battery Power'\n", Status.WARNING),
            (None, Status.NOT_KNOWN),
            ("garbage", Status.NOT_KNOWN),
        ],
    )
    def test_power(self, text: str | None, status: Status) -> None:
        assert machine.power_line(text).status == status

    @pytest.mark.parametrize(
        ("text", "status"),
        [
            (" sleep                0 (sleep prevented by powerd)\n", Status.OK),
            (" sleep                1\n", Status.WARNING),
            (" sleep                0\n lowpowermode         1\n", Status.WARNING),
            ("", Status.NOT_KNOWN),
        ],
    )
    def test_sleep(self, text: str, status: Status) -> None:
        assert machine.sleep_line(text).status == status

    def test_plugins_that_change_the_experiment(self) -> None:
        line = machine.plugins_found(["pytest_run_parallel", "pytest-cov", "pytest-forked"])
        assert line.status == Status.WARNING
        assert "-p no:run_parallel" in line.way_out
        assert machine.plugins_found(["pytest-cov"]).status == Status.OK

    def test_a_folder_that_cannot_be_written_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MPS_STRESS_CACHE", str(tmp_path / "cache"))
        lines = machine.disk_lines(tmp_path / "a" / "b")
        assert [line.status for line in lines] != [Status.MISSING] * 2
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert [line.status for line in machine.disk_lines(tmp_path)] == [Status.MISSING] * 2


class TestCanary:
    def test_a_planted_race_is_reported_by_name(self) -> None:
        try:
            toolchain = find_toolchain()
        except ToolchainError as error:
            pytest.skip(str(error))
        assert canary_line(toolchain).status == Status.OK

    def test_a_compiler_that_plants_nothing_is_a_warning(self, tmp_path: Path) -> None:
        try:
            toolchain = find_toolchain()
        except ToolchainError as error:
            pytest.skip(str(error))
        silent = tmp_path / "clang++"
        silent.write_text(
            '#!/bin/sh\nfor last; do :; done\nprintf "#!/bin/sh\\nexit 0\\n" > "$last"\nchmod +x "$last"\n'
        )
        silent.chmod(0o755)
        line = canary_line(replace(toolchain, clangxx=silent))
        assert line.status == Status.WARNING
        assert "the planted race was not reported" in line.detail


class TestText:
    def test_one_screen_with_ways_out(self) -> None:
        lines = [
            CheckResult("torch", "build", Status.OK, "2.15.0"),
            CheckResult("torch", "source tree", Status.MISSING, "word " * 40, "rebuild it"),
            CheckResult("environment", "MPS_FORCE_GRAPH_PATH=1", Status.WARNING, "graph path", "unset it"),
        ]
        told = text_of(lines, 80)
        assert all(len(line) <= 80 for line in told.splitlines())
        assert "-> rebuild it" in told
        assert told.endswith("1 ok, 1 warning, 1 missing. Not ready: source tree")
        assert not is_ready(lines)
        assert is_ready(lines[:1])
