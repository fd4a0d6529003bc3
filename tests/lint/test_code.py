"""Formatting, headers that stand alone, exported names, shell scripts, commit subjects."""

import re
import subprocess
import warnings

import pytest
from layout import MODULES, public_headers
from tree import REPO, c_files, files

HEADERS = [f for f in c_files() if f.endswith(".h") and f.startswith(("src/", "api/"))]
# Of the capabilities, which shims and kernels in C++ may use; what is built on them has C's atomics.
CPP_READY = [f"src/{module}/{header}" for module in list(MODULES)[:list(MODULES).index("models")]
             if module != "base" for header in public_headers(module)]
SUBJECT = re.compile(r"[a-z0-9][\w./, +-]*: (?![A-Z][a-z]+\s)\S.*[^.\s]")


def run(*command, stdin=None):
    return subprocess.run(command, cwd=REPO, input=stdin, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("path", c_files())
def test_file_is_formatted(path):
    done = run("clang-format", "--dry-run", "--Werror", path)
    if done.returncode:
        lines = sorted(set(re.findall(r":(\d+):\d+: error", done.stdout)), key=int)
        pytest.fail(f"./dev fmt formats {path}, lines {', '.join(lines)}", pytrace=False)


def compiles(header, *compiler):
    done = run(*compiler, "-fsyntax-only", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-Isrc", "-I.", "-",
               stdin=f'#include "{header}"\n')
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", HEADERS)
def test_header_compiles_alone_as_c11(path):
    compiles(path, "gcc", "-xc", "-std=c11")


@pytest.mark.parametrize("path", CPP_READY)
def test_public_header_compiles_alone_as_cpp(path):
    compiles(path, "g++", "-xc++", "-std=c++20")


def test_every_exported_symbol_begins_with_vx():
    done = run("nm", "--extern-only", "--defined-only", "--no-demangle", "build/release/libvidx.a")
    names = re.findall(r"^[0-9a-f]+ [A-Z] (\S+)$", done.stdout, re.M)
    assert names, done.stdout
    assert [n for n in names if not n.startswith("vx_")] == []


def test_functions_with_clones_are_static_and_named_once():
    """clang 14 exports their resolvers by these names, and gives other files none to call."""
    names = []
    for path in c_files():
        for head in re.findall(r"^VX_SIMD_CLONES\s+([^({]*)\(", (REPO / path).read_text(), re.M):
            assert head.startswith("static "), f"{path}: {head}"
            names.append(head.split()[-1].lstrip("*"))
    assert names and sorted(set(names)) == sorted(names)


SCRIPTS = files("dev", ".ci/run", "*.sh")


@pytest.mark.parametrize("path", SCRIPTS)
def test_script_passes_shellcheck(path):
    done = run("shellcheck", "--shell=bash", path)
    assert done.returncode == 0, done.stdout


def test_commit_subjects_name_module_and_change():
    subjects = run("git", "log", "--no-merges", "-n50", "--format=%s").stdout.splitlines()
    assert subjects
    bad = [s for s in subjects if len(s) > 100 or not SUBJECT.fullmatch(s)]
    assert bad == [], "wanted: `module: what changes`, at most 72 characters, no full stop"
    for subject in subjects:
        if len(subject) > 72:  # not worth rewriting history for
            warnings.warn(f"longer than 72 characters: {subject}")
