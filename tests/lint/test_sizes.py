"""Functions and files stay short. Over the aim, a comment must say why: "long because ...".

A function's reason stands in the comment right above it, a file's in the comment at its top. Over the
limit no reason helps.
"""

import re
import subprocess

import pytest
from tree import REPO, c_files

FUNCTION_AIM, FUNCTION_LIMIT = 60, 100
FILE_AIM, FILE_LIMIT = 600, 1000
REASON = re.compile(r"\blong\s+because\s+\w+")


def functions(path):
    """(name, first line, last line) of each function; the first is that of its name."""
    listing = subprocess.run(
        ["ctags", "-x", "--kinds-C=f", "--kinds-C++=f", "--fields=+e", "--_xformat=%N %n %e", path],
        cwd=REPO, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listing.splitlines():
        name, first, last = line.rsplit(" ", 2)
        if last:  # of a .cu file ctags lists the constants of an enum too, without an end
            yield name, int(first), int(last)


def comment_above(lines, first):
    """The text of the comment that ends right above line `first`, or above its return type."""
    end = first - 1
    while end and lines[end - 1].strip() and not re.search(r"[;}]$|\*/\s*$|^#|^//", lines[end - 1]):
        end -= 1
    start = end
    if end and lines[end - 1].rstrip().endswith("*/"):
        while start and "/*" not in lines[start - 1]:
            start -= 1
        start -= 1
    while start and lines[start - 1].startswith("//"):
        start -= 1
    return words(lines[start:end])


def words(lines):
    return " ".join(line.strip(" \t*/") for line in lines)


def sizes_that_need_a_reason(path):
    """[what is wrong] with the lengths of a C file and of its functions."""
    lines = (REPO / path).read_text(encoding="utf-8").split("\n")
    n_lines, wrong = len(lines) - 1, []
    top = words(lines[:lines.index(next((s for s in lines if "*/" in s), lines[0])) + 1])
    if n_lines > FILE_LIMIT or (n_lines > FILE_AIM and not REASON.search(top)):
        wrong.append(f"{path} has {n_lines} lines")
    for name, first, last in functions(path) if path.endswith((".c", ".cpp", ".cu")) else ():
        n = last - first + 1
        if n > FUNCTION_LIMIT or (n > FUNCTION_AIM and not REASON.search(comment_above(lines, first))):
            wrong.append(f"{path}:{first}: {name} has {n} lines")
    return wrong


@pytest.mark.parametrize("path", c_files())
def test_what_is_long_says_why(path):
    assert sizes_that_need_a_reason(path) == []


def made(tmp_path, n_statements, comment=""):
    path = tmp_path / "made.c"
    path.write_text(f"/* A file. */\n\nint before(void);\n\n{comment}static int\nlong_one(void) {{\n"
                    + "    before();\n" * n_statements + "    return 0;\n}\n")
    return str(path)


@pytest.mark.parametrize(("n_statements", "comment", "allowed"), [
    (57, "", True),
    (58, "", False),
    (58, "/* Adds up. */\n", False),
    (58, "/* Adds up; long because\n * its steps share all they know. */\n", True),
    (58, "/* long because it was. */\nint between(void);\n\n", False),
    (97, "/* long because each case is one line. */\n", True),
    (98, "/* long because each case is one line. */\n", False),
])
def test_function_over_60_lines_needs_a_reason_and_over_100_has_none(tmp_path, n_statements, comment,
                                                                     allowed):
    assert (sizes_that_need_a_reason(made(tmp_path, n_statements, comment)) == []) == allowed
