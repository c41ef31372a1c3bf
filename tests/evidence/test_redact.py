"""What must not leave the machine does not, whatever part of the document it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stress.commands.evidence.redact import Redactor
from stress.record.aggregate import read_folders
from tests.made_records import MAC
from tests.made_records import run_of


@pytest.fixture
def redact(tmp_path: Path) -> Redactor:
    fields: dict[str, Any] = {
        "environment": {**MAC, "host": "Janes-MacBook.local", "python": {"executable": "/Users/jane.doe/venv/bin/python"}},
        "rootdir": "/home/jdoe/work",
    }  # fmt: skip
    return Redactor.of(read_folders([run_of(tmp_path / "run", {"a.py::S[t8]": {"pass": 1}}, **fields)]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("File /Users/jane.doe/pytorch/a.py", "File ~/pytorch/a.py"),
        ("/home/somebody/x and /root/y", "~/x and ~/y"),
        ("written by jane.doe today", "written by [user] today"),
        ("jdoe's shell", "[user]'s shell"),
        ("on Janes-MacBook.local, JANES-MACBOOK", "on [host], [host]"),
        ("2026-11-20T0917Z-janes-macbook-4f2a/17", "2026-11-20T0917Z-host-4f2a/17"),
        ("mail jane@example.org", "mail [address]"),
        ("IOPlatformUUID 12345678-ABCD-ef01-2345-123456789abc", "IOPlatformUUID [identifier]"),
        ("Serial Number: C02XYZ123ABC", "Serial Number: [identifier]"),
        ("ether a4:83:e7:00:11:22", "ether [identifier]"),
        ("from 192.168.1.17", "from [address]"),
        ("/private/var/folders/zz/abc123/T/x", "[temporary folder]"),
        ("MTL_DEBUG_LAYER=1, MPS_FORCE_GRAPH_PATH=1", "MTL_DEBUG_LAYER=1, MPS_FORCE_GRAPH_PATH=1"),
        ("PYTORCH_SECRET_PLACE=moon", "PYTORCH_SECRET_PLACE=[not listed]"),
        ("TORCH_HOME=/Users/jane.doe/t", "TORCH_HOME=[not listed]"),
        (
            "pytest --mps-threads=8 design=fork perturb=high",
            "pytest --mps-threads=8 design=fork perturb=high",
        ),
    ],
)
def test_names_and_identifiers_are_taken_out(redact: Redactor, text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "torch 2.15.0 (cf30153c4c), macOS 26.1, 0x3f2a, 1.5-2.5 %",
        "scenarios/linear.py::SharedLinear[float32-t8]",
        "d41d8cd98f00b204e9800998ecf8427e",
        "torch.nn.Linear at aten/src/ATen/mps/MPSStream.mm:123",
        "2026-11-20 09:17 UTC",
    ],
)
def test_what_is_evidence_stays(redact: Redactor, text: str) -> None:
    assert redact(text) == text


def test_a_short_or_common_name_does_not_spoil_words() -> None:
    known = Redactor(users={"root", "al"}, hosts={"vm", "mac"})
    assert known("the root of a vm: llvm, mac, al dente") == "the root of a vm: llvm, mac, al dente"
