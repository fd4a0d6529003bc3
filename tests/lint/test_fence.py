"""The include fence: who may use whom, where each library lives, and no cycle anywhere.

The table of the modules is layout.MODULES. Includes and symbols are checked against it both, since a
function can be reached by a header that another header includes.
"""

import layout
import pytest
from layout import MODULES, OPEN, cycles, module_of, public_headers
from tree import REPO, files

TORCH = ["src/torch/torch_shim.cpp", "src/torch/operators.cpp", "src/torch/operators_fp8.cpp", "src/torch/cuda_graphs.cpp",
         "src/torch/cuda_graphs.h"]

# library header (a prefix of the include) -> the only folders or files that may include it
HOMES = {
    "libav": ["src/media/"],
    "libsw": ["src/media/"],
    "sqlite3": ["src/catalog/"],
    "torch/": TORCH,
    "ATen/": TORCH,
    "c10/": TORCH,
    "microhttpd": ["api/"],
    "curl/": ["src/fetch/", "src/stores/"],
    "utf8proc": ["src/filter/cell.c", "src/embed/"],
}
# library header -> where it may not be included
NOT_IN = {"jansson": ["src/base/", "src/media/", "src/index/"]}
# A library whose types and last error must not spread: one .c file a module, no header.
ONE_FILE_A_MODULE = "faiss/"

CPP = {f for f in TORCH if f.endswith(".cpp")}
CUDA_FOLDERS = ("src/torch/", "src/preprocess/", "src/fingerprint/", "src/clip/")

SEES_THE_SERVER = {"server", "api/http", "api/resources", "cli"}
POINTS_TO_AT_MOST = 6

SOURCES = layout.sources()


def may_include(user, target):
    own, other = module_of(user), module_of(target)
    return own == other or (other in MODULES.get(own, ()) and
                            (other in OPEN or target.rsplit("/", 1)[1] in public_headers(other)))


def library_is_at_home(path, name):
    homes = [home for prefix, home in HOMES.items() if name.startswith(prefix)]
    barred = [home for prefix, home in NOT_IN.items() if name.startswith(prefix)]
    return (all(path.startswith(tuple(home)) for home in homes) and
            not any(path.startswith(tuple(home)) for home in barred))


@pytest.mark.parametrize("path", SOURCES)
def test_includes_stay_inside_the_fence(path):
    wrong = []
    for mark, name in layout.includes(path):
        if mark == "<":
            wrong += [] if library_is_at_home(path, name) else [name]
        else:
            target = layout.resolve(name, path)
            wrong += [name] if target and not may_include(path, target) else []
    assert not wrong, f"{path} may not include {wrong}; see layout.MODULES and HOMES here"


def test_faiss_is_included_by_one_c_file_of_a_module():
    users = [f for f in SOURCES if any(name.startswith(ONE_FILE_A_MODULE)
                                       for _, name in layout.includes(f))]
    assert users and all(f.endswith(".c") for f in users), users
    assert len({module_of(f) for f in users}) == len(users), users


def test_cpp_and_cuda_files_are_those_named_here():
    inside = files("*.cpp", "*.cc", "*.cxx", "*.hpp", "*.cu", "*.cuh")
    cuda = {f for f in inside if f.endswith((".cu", ".cuh"))}
    assert {f for f in inside if f.startswith(("src/", "api/"))} - cuda == CPP
    assert all(f.startswith(CUDA_FOLDERS) for f in cuda if f.startswith(("src/", "api/"))), cuda


# ---- modules ------------------------------------------------------------------------------------


def test_every_folder_is_a_module_of_the_table():
    assert layout.folders() == set(MODULES) - {"main"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_uses_only_modules_above_it_in_the_table(module):
    above = list(MODULES)[:list(MODULES).index(module)]
    assert MODULES[module] <= set(above)


@pytest.mark.parametrize("module", sorted(layout.folders()))
def test_module_has_a_public_header_and_a_meson_build(module):
    folder = REPO / layout.folder_of(module)
    assert (folder / "meson.build").is_file()
    if module != "base":
        assert [h for h in public_headers(module) if not (folder / h).is_file()] == []


def test_only_api_and_cli_see_the_server():
    users = {module_of(f) for f in SOURCES
             for mark, name in layout.includes(f)
             if mark == '"' and layout.resolve(name, f) == "src/server/server.h"}
    assert users <= SEES_THE_SERVER, users - SEES_THE_SERVER


@pytest.mark.parametrize("type_name", sorted(layout.types()[1]))
def test_type_points_to_few_modules(type_name):
    path, _ = layout.types()[1][type_name]
    if module_of(path) not in SEES_THE_SERVER:
        modules = layout.modules_pointed_to(type_name)
        assert len(modules) <= POINTS_TO_AT_MOST, f"{path}: {type_name} points to {sorted(modules)}"


# ---- cycles -------------------------------------------------------------------------------------


def test_modules_include_each_other_in_no_cycle():
    assert cycles(layout.include_edges(module_of)) == []


def test_files_include_each_other_in_no_cycle():
    assert cycles(layout.include_edges(layout.stem_of)) == []


def test_modules_call_each_other_in_no_cycle():
    graph = layout.symbol_edges(module_of)
    assert graph
    assert cycles(graph) == []


def test_files_call_each_other_in_no_cycle():
    """Two files that need each other are one, or have a third below both."""
    assert cycles(layout.symbol_edges(layout.stem_of)) == []


def test_calls_stay_inside_the_fence():
    wrong = [f"{user} uses {', '.join(sorted(symbols))} of {owner}"
             for (user, owner), symbols in sorted(layout.symbol_references().items())
             if module_of(user) != module_of(owner)
             and module_of(owner) not in MODULES.get(module_of(user), ())]
    assert wrong == []


def test_cycle_is_found_with_its_shortest_way():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert cycles({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"b"}}) == ["a -> b -> c -> a"]
    assert cycles({"a": {"a"}}) == ["a -> a"]
