"""The include fence: who may include whom.

A folder of src/ is a module. Others see only its public header src/<module>/<module>.h, and only if
the table allows it; base/ is open to all. What is above (src/*.c, then api/) may include what is
below, never the other way round; the program itself (src/main.c, src/command*) sees both. A library
has one home.
"""

import re

import pytest
from tree import REPO, c_files

# module -> the modules whose public header it may include
ALLOWED = {
    "base": set(),
    "torch": {"base"},
    "upload": {"base"},
    "fetch": {"base"},
    "media": {"base"},
    "clip": {"base", "media", "torch"},
    "preprocess": {"base"},
    "embed": {"base", "torch", "preprocess"},
    "fingerprint": {"base"},
    "index": {"base"},
    "catalog": {"base"},
    "dedup": {"base", "fingerprint", "index", "catalog"},
    "parquet": {"base"},
}
ALLOWED["src"] = set(ALLOWED)
ALLOWED["api"] = set(ALLOWED)
ALLOWED["program"] = set(ALLOWED)

PUBLIC = {"torch": {"torch_shim.h"}}

# library header (a prefix of the include) -> the only files or folders that may include it
HOMES = {
    "libav": ["src/media/"],
    "libsw": ["src/media/"],
    "sqlite3": ["src/catalog/"],
    "faiss/": ["src/index/faiss_flat.c"],
    "torch/": ["src/torch/torch_shim.cpp"],
    "ATen/": ["src/torch/torch_shim.cpp"],
    "c10/": ["src/torch/torch_shim.cpp"],
    "microhttpd": ["api/"],
    "curl/": ["src/fetch/"],
    "utf8proc": ["src/embed/"],
}

CHECKED = [f for f in c_files() if f.startswith(("src/", "api/"))]


def module_of(path):
    """'media' for src/media/demux.c, 'src' for src/ingest.c, 'api' for api/http/http.c, or 'program'."""
    if re.match(r"src/(main|command)\w*\.[ch]$", path):
        return "program"
    parts = path.split("/")
    return parts[0] if parts[0] == "api" or len(parts) == 2 else parts[1]


def includes(path):
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', (REPO / path).read_text(), re.M)


def resolve(name, path):
    """The repository path of an include in quotes, as the compiler finds it."""
    folder = path.rsplit("/", 1)[0]
    for place in (f"{folder}/{name}", f"src/{name}", name):
        if (REPO / place).is_file():
            return place
    return None


def may_include(user, target):
    own, other = module_of(user), module_of(target)
    if own == other:
        return True
    if other not in ALLOWED.get(own, ()):
        return False
    public = PUBLIC.get(other, {other + ".h"})
    return other in ("base", "src", "api") or target.rsplit("/", 1)[1] in public


@pytest.mark.parametrize("path", CHECKED)
def test_includes_stay_inside_the_fence(path):
    wrong = []
    for mark, name in includes(path):
        if mark == "<":
            wrong += [name for prefix, homes in HOMES.items()
                      if name.startswith(prefix) and not path.startswith(tuple(homes))]
        else:
            target = resolve(name, path)
            if target and not may_include(path, target):
                wrong.append(name)
    assert not wrong, f"{path} may not include {wrong}; see the tables in tests/lint/test_fence.py"


def test_every_module_is_in_the_table():
    modules = {p.name for p in (REPO / "src").iterdir() if p.is_dir()}
    assert modules == set(ALLOWED) - {"src", "api", "program"}
