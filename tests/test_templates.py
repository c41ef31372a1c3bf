"""Templates name commands and options that exist, and the unattended ones are safe to leave alone.

No workflow and no launchd job runs here. What can be shown without a Mac is: the property lists parse, their shell line makes the
campaign the process that launchd signals, and every `mps-stress` command line in them parses.
"""

from __future__ import annotations

import plistlib
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stress.commands import cli
from stress.plugin import option_table
from stress.record.aggregate.groups import DeviceKind
from stress.record.aggregate.groups import kind_of
from stress.record.writer import encode

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
LAUNCHD = ROOT / "templates" / "launchd"
HOME = "/Users/YOU"
OPERATORS = re.compile(r"[;&|()<>]+")


def without_comments(path: Path) -> str:
    """Return a workflow's lines that are not comments."""
    return "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))


def block(text: str, head: str) -> str:
    """Return what is indented below the only line `head:` of a workflow."""
    lines = text.splitlines()
    (start,) = [at for at, line in enumerate(lines) if line.strip() == f"{head}:"]
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent
    ):
        end += 1
    return "\n".join(lines[start + 1 : end])


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each `mps-stress` in lines of shell, up to the operator or comment that ends it."""
    found = []
    for line in text.splitlines():
        if not re.search(r"(?:^|[\s/])mps-stress [a-z]", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for at, word in enumerate(words):
            before = words[at - 1] if at else ";"
            if word.rpartition("/")[2] == "mps-stress" and (
                before in ("exec", "run:", "$") or OPERATORS.fullmatch(before)
            ):
                rest = words[at + 1 :]
                end = next((i for i, one in enumerate(rest) if OPERATORS.fullmatch(one)), len(rest))
                found.append(rest[:end])
    return found


def job(name: str) -> dict[str, Any]:
    with (LAUNCHD / f"org.mps-stress.{name}.plist").open("rb") as file:
        return dict(plistlib.load(file))


def stand_in(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class TestLaunchd:
    @pytest.mark.parametrize("name", ["nightly", "resume"])
    def test_job_names_itself_and_what_to_edit(self, name: str) -> None:
        one = job(name)
        assert one["Label"] == f"org.mps-stress.{name}"
        assert "KeepAlive" not in one
        paths = [one["WorkingDirectory"], one["StandardOutPath"], one["StandardErrorPath"]]
        assert all(path.startswith(f"{HOME}/") for path in paths)
        first, *others = one["EnvironmentVariables"]["PATH"].split(":")
        assert first == f"{one['WorkingDirectory']}/.venv/bin"
        assert {"/usr/bin", "/bin"} <= set(others)

    def test_jobs_start_as_told(self) -> None:
        assert set(job("nightly")["StartCalendarInterval"]) == {"Hour", "Minute"}
        assert "StartInterval" not in job("nightly")
        assert job("resume")["StartInterval"] == 300
        assert job("resume")["RunAtLoad"] is True

    def test_resume_is_the_nightly_campaign_resumed(self) -> None:
        (nightly,) = commands(job("nightly")["ProgramArguments"][-1])
        (resume,) = commands(job("resume")["ProgramArguments"][-1])
        assert resume == [*nightly, "--resume"]

    @pytest.mark.parametrize("name", ["nightly", "resume"])
    def test_launchd_signals_the_campaign_and_caffeinate_waits_for_it(
        self, tmp_path: Path, name: str
    ) -> None:
        stand_in(tmp_path / "caffeinate", 'echo "caffeinate $@"')
        stand_in(tmp_path / "mps-stress", 'echo "campaign $$ $1"; exit 1')
        process = subprocess.Popen(
            job(name)["ProgramArguments"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdout=subprocess.PIPE
        )
        # Both write to the pipe, which ends when the second of them has.
        told, _ = process.communicate(timeout=800)
        assert sorted(told.decode().splitlines()) == [
            f"caffeinate -ims -w {process.pid}",
            f"campaign {process.pid} campaign",
        ]
        assert process.returncode == 1


class TestWorkflows:
    @pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
    def test_rights_and_actions(self, path: Path) -> None:
        text = without_comments(path)
        assert block(text, "permissions").split() == ["contents:", "read"]
        assert text.count("permissions:") == 1
        uses = re.findall(r"uses: (\S+)", text)
        assert uses
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in uses)
        assert len(re.findall(r"timeout-minutes: \d+", text)) == text.count("runs-on:")

    def test_only_schedule_and_people_start_the_own_mac(self) -> None:
        text = without_comments(WORKFLOWS / "nightly.yml")
        triggers = re.findall(r"^  (\w+):", block(text, "on"), re.MULTILINE)
        assert triggers == ["schedule", "workflow_dispatch"]
        (minute,) = re.findall(r'cron: "(\d+) ', text)
        assert int(minute) % 5  # the round minutes are crowded
        for other in WORKFLOWS.glob("*.yml"):
            assert ("self-hosted" in without_comments(other)) == (other.name == "nightly.yml")

    def test_night_is_left_to_end_and_fits_its_limit(self) -> None:
        text = without_comments(WORKFLOWS / "nightly.yml")
        assert "[self-hosted, macOS, ARM64, mps-metal," in text
        assert block(text, "concurrency").split() == [
            "group:", "mps-metal-${{", "matrix.host", "}}", "cancel-in-progress:", "false",
        ]  # fmt: skip
        (minutes,) = re.findall(r"timeout-minutes: (\d+)", text)
        (asked,) = re.findall(r'default: "(\d+)"', text)
        (otherwise,) = re.findall(r"inputs.seconds \|\| '(\d+)'", text)
        assert asked == otherwise
        assert int(minutes) * 60 >= int(asked) + 1800

    def test_records_of_a_night_are_uploaded_whatever_became_of_it(self) -> None:
        *_, upload = without_comments(WORKFLOWS / "nightly.yml").split("      - ")
        assert upload.startswith("uses: actions/upload-artifact@")
        assert "if: always()\n" in upload

    def test_virtual_mac_gates_nothing(self) -> None:
        text = without_comments(WORKFLOWS / "mac-smoke.yml")
        assert "    continue-on-error: true\n" in text
        assert "runs-on: macos-15\n" in text

    def test_smoke_looks_for_what_a_virtual_mac_records(self) -> None:
        """The check before the upload greps records as they are written, and reports hold them to be virtual."""
        (pattern,) = re.findall(
            r"grep -rqs '([^']+)' results/runs", (WORKFLOWS / "mac-smoke.yml").read_text()
        )
        record = {"device": "mps", "environment": {"paravirtual": True}}
        assert pattern in encode(record).decode()
        assert kind_of(record) is DeviceKind.VIRTUAL
        assert not DeviceKind.VIRTUAL.is_metal_evidence


class TestCommandLines:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            (job("nightly")["ProgramArguments"][-1], {"campaign"}),
            (job("resume")["ProgramArguments"][-1], {"campaign"}),
            (without_comments(WORKFLOWS / "ci.yml"), set()),
            (without_comments(WORKFLOWS / "mac-smoke.yml"), {"doctor", "report"}),
            (without_comments(WORKFLOWS / "nightly.yml"), {"campaign", "doctor", "report"}),
        ],
        ids=["nightly.plist", "resume.plist", "ci", "mac-smoke", "nightly"],
    )  # fmt: skip
    def test_parse(self, text: str, names: set[str]) -> None:
        found = commands(text)
        assert {words[0] for words in found} == names
        parser = cli.make_parser()
        for words in found:
            parser.parse_args(words)  # SystemExit, with the reason on stderr

    def test_options_of_the_plugin_exist(self) -> None:
        known = set(option_table.BY_NAME)
        files = (*WORKFLOWS.glob("*.yml"), *LAUNCHD.glob("*.plist"), *(ROOT / "docs").glob("*.md"))
        used = {name for one in files for name in re.findall(r"--mps-([a-z-]+)", one.read_text())}
        assert {"threads", "device", "attempts", "seconds", "deadline"} <= used
        assert used <= known
