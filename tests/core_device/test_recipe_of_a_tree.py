"""What of a tree is compiled, what an error is about, and objects that are found again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stress.device.core import compiler_output
from stress.device.core import objects
from stress.device.core import sources
from tests.core_device.trees import small_tree


def test_sources_are_what_the_tree_has(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    aten = tree / "aten" / "src" / "ATen"
    for name in ("mps/New.mm", "native/mps/MetalShaderLibrary.mm", "native/mps/operations/Copy.mm"):
        (aten / name).parent.mkdir(parents=True, exist_ok=True)
        (aten / name).write_text("")
    (aten / "native" / "mps" / "operations" / "Linear.mm").write_text("")
    names = {one.name.removeprefix("aten/src/ATen/") for one in sources.core_sources(tree)}
    assert {"mps/New.mm", "native/mps/MetalShaderLibrary.mm", "native/mps/operations/Copy.mm"} <= names
    assert "native/mps/operations/Linear.mm" not in names


def test_a_source_gets_the_headers_that_its_text_needs(tmp_path: Path) -> None:
    path = tmp_path / "One.cpp"
    path.write_text("#if __is_target_os(macOS)\nTensor empty_mps(int);\n#endif\n")
    assert sources.CoreSource(path, "One.cpp", is_of_tree=True).forced == (
        "pretend_apple.h",
        "native_declarations.h",
    )
    assert sources.CoreSource(path, "One.cpp").forced == ()


def test_only_the_trees_own_headers_are_linked(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    links = tmp_path / "links"
    sources.link_headers(tree, links)
    assert (links / "ATen" / "mps" / "MPSStream.h").is_file()
    assert not (links / "ATen" / "core").exists()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a.mm:1:2: error: use of undeclared identifier 'MTLIOCompressionMethod'", "MTLIOCompressionMethod"),
        ("a.mm:1:2: error: unknown type name 'dispatch_semaphore_t'", "dispatch_semaphore_t"),
        (
            "a.mm:1:2: error: no known class method for selector 'archiveWithURL:'",
            "archiveWithURL:",
        ),
        ("a.h:1:2: fatal error: 'Metal/MTLTensor.h' file not found", "Metal/MTLTensor.h"),
        ("x.o: undefined reference to `MTLCopyAllCounters'", "MTLCopyAllCounters"),
        ("a.mm:1:2: error: use of undeclared identifier 'count'", None),
        ("a.mm:1:2: error: no type named 'MPSProfiler' in namespace 'at::mps'", None),
        ("a.mm:1:2: error: expected ';' after expression", None),
    ],
)
def test_a_name_of_apples_that_is_missing_is_told_from_other_errors(line: str, name: str | None) -> None:
    error = compiler_output.failed("a.mm", "log", f"In file included from b\n{line}\n1 error generated.\n")
    assert (error.first_error_line, error.missing_name) == (line, name)


def test_an_object_is_found_again_whole_or_not_at_all(tmp_path: Path) -> None:
    kept = objects.ObjectCache(tmp_path / "kept")
    made, taken = tmp_path / "made.o", tmp_path / "taken.o"
    made.write_bytes(b"object")
    assert not kept.take("key", taken)
    kept.keep("key", made)
    assert kept.take("key", taken)
    assert taken.read_bytes() == b"object"
    assert os.listdir(tmp_path / "kept") == ["key"]


def test_objects_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    kept = objects.ObjectCache(tmp_path / "kept")
    for name in ("old", "used"):
        (tmp_path / "kept" / name).write_bytes(b"object")
    os.utime(tmp_path / "kept" / "old", (0, 0))
    kept.remove_unused()
    assert os.listdir(tmp_path / "kept") == ["used"]


def test_of_precompiled_headers_those_that_were_used_last_are_kept(tmp_path: Path) -> None:
    kept = objects.ObjectCache(tmp_path / "kept")
    now = time.time()
    for age in range(20):
        path = tmp_path / "kept" / f"{age}.pch"
        path.write_bytes(b"header")
        os.utime(path, (now - age, now - age))
    (tmp_path / "kept" / "object").write_bytes(b"object")
    os.utime(tmp_path / "kept" / "object", (now - 100, now - 100))
    kept.remove_unused()
    assert set(os.listdir(tmp_path / "kept")) == {"object", *(f"{age}.pch" for age in range(16))}


def test_a_header_that_changes_changes_the_hash(tmp_path: Path) -> None:
    header = tmp_path / "include" / "one.h"
    header.parent.mkdir()
    header.write_text("int one;")
    before = objects.headers_digest(tmp_path / "include")
    header.write_text("int two;")
    assert objects.headers_digest(tmp_path / "include") != before
