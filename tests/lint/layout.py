"""The modules, what each may use, and the graphs of what the sources do use.

A folder of src/ is a module: one public header <module>/<module>.h, its own meson.build, and a row in
MODULES. So are src/batch/curator, api/http and api/resources. src/main.c is the module `main`.
"""

import functools
import re
import subprocess

from tree import REPO, c_files

# module -> the modules that it may use. From the bottom to the top: a row names only rows above it.
MODULES = {
    "base": "",
    "torch": "base",
    "store": "base",
    "fetch": "base",
    "card": "base",
    "frame": "base",
    "media": "base card frame",
    "clip": "base card frame media torch",
    "preprocess": "base card frame",
    "embed": "base torch preprocess",
    "fingerprint": "base card frame",
    "index": "base torch",
    "catalog": "base",
    "filter": "base catalog",
    "dedup": "base torch index",
    "cluster": "base index",
    "parquet": "base",
    "models": "base torch embed index catalog",
    "collection": "base fingerprint index catalog filter models",
    "extract": "base card frame media clip preprocess embed fingerprint models",
    "evidence": "base frame media",
    "writer": "base store catalog",
    "verdict": "base store fingerprint index catalog models collection extract evidence media",
    "jobs": "base catalog writer",
    "verify": "base store index catalog models collection extract evidence media writer verdict jobs",
    "export": "base index catalog filter parquet",
    "import": "base store clip index catalog parquet models collection writer jobs",
    "ingest": "base store media clip catalog collection extract evidence writer verdict jobs verify",
    "cutter": "base store media catalog",
    "library": "base store fingerprint index catalog filter models collection extract writer verdict jobs verify cutter",
    "folders": "base store clip catalog collection writer ingest library",
    "check": "base store catalog folders",
    "backup": "base catalog",
    "backfill": "base store media clip index catalog models collection extract writer jobs library",
    "duplicates": "base store fingerprint index catalog filter dedup models collection extract writer verdict jobs library",
    "stores": "base fetch index catalog export models writer",
    "search": "base store stores embed index catalog filter models collection extract",
    "clusterings": "base embed cluster index catalog filter models collection writer jobs search",
    "embeddings": "base store fetch frame media preprocess embed models extract search",
    "server": "base store stores fetch media clip catalog models collection extract writer jobs verify import ingest cutter "
              "library folders backfill duplicates search clusterings embeddings",
    "batch/curator": "base media clip parquet",
    "batch": "base store media clip index catalog dedup parquet models collection extract writer ingest "
             "library backfill batch/curator",
    "cluster_folder": "base embed index cluster parquet",
    "api/http": "base store server",
    "api/resources": "base store media clip embed index cluster catalog filter models collection extract evidence export import search clusterings embeddings "
                     "ingest cutter jobs verify library folders backfill duplicates stores server api/http",
    "cli": "base store stores writer media clip catalog filter extract folders check backup export import duplicates server batch cluster cluster_folder api/http api/resources",
    "main": "cli",
}
MODULES = {name: set(may_use.split()) for name, may_use in MODULES.items()}

# Where the public header has another name, or others may see every header.
PUBLIC = {"catalog": ("catalog.h", "folder_rows.h"), "index": ("index.h", "faiss_file.h"), "export": ("export.h", "point.h", "text.h"), "import": ("import.h", "imports.h"), "parquet": ("parquet.h", "read.h"),
          "torch": ("torch_shim.h", "code_scan.h", "pair_scan.h"), "card": ("card.h", "driver.h"),
          "frame": ("frame.h", "samples.h", "tone.h"), "jobs": ("jobs.h", "sweep.h")}
OPEN = {"base", "api/http"}


def sources():
    return [f for f in c_files() if f.startswith(("src/", "api/"))]


def folders():
    """The folders of src/ and api/ that have sources, as modules."""
    return {module_of(f) for f in sources()} - {"main"}


def folder_of(module):
    return module if module.split("/")[0] == "api" else f"src/{module}"


def module_of(path):
    """'media' for src/media/demux.c, 'batch/curator' for src/batch/curator/tree.c, 'main' for src/main.c."""
    folder = path.rsplit("/", 1)[0]
    return "main" if folder == "src" else folder.removeprefix("src/")


def stem_of(path):
    """foo.c and foo.h are one thing."""
    return path.rsplit(".", 1)[0]


def public_headers(module):
    return PUBLIC.get(module, (f"{module.rsplit('/', 1)[-1]}.h",))


@functools.cache
def includes(path):
    """[('<' or '"', name)] of a file."""
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', (REPO / path).read_text(), re.M)


def resolve(name, path):
    """The repository path of an include in quotes, as the compiler finds it."""
    for place in (f"{path.rsplit('/', 1)[0]}/{name}", f"src/{name}", name):
        if (REPO / place).is_file():
            return place
    return None


def include_edges(key):
    """{key(file): keys of what it includes} over all sources."""
    graph = {}
    for path in sources():
        graph.setdefault(key(path), set())
        for mark, name in includes(path):
            target = resolve(name, path) if mark == '"' else None
            if target and key(target) != key(path):
                graph[key(path)].add(key(target))
    return graph


@functools.cache
def symbol_references():
    """{(source, source): symbols that the first uses and the second defines}, of build/release."""
    release = REPO / "build" / "release"
    # Meson names an object by its source's path below the folder of its library: src_media_demux.c.o.
    sources_of = {f.replace("/", "_") + ".o": f for f in sources()}
    defined, used = {}, []
    for library in (release / "libvidx.a", *release.glob("src/**/lib*.a")):
        prefix = "".join(f"{part}_" for part in library.parent.relative_to(release).parts)
        listing = subprocess.run(["nm", "--print-file-name", "--no-demangle", library], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        for place, kind, symbol in re.findall(r"^(\S+): *(?:[0-9a-f]+)? (\w) (\S+)$", listing, re.M):
            source = sources_of.get(prefix + re.split("[/:]", place)[-1])
            if source and kind == "U":
                used.append((source, symbol))
            elif source and kind.isupper():
                defined[symbol] = source
    references = {}
    for source, symbol in used:
        if symbol in defined:
            references.setdefault((source, defined[symbol]), set()).add(symbol)
    return references


def symbol_edges(key):
    graph = {}
    for user, owner in symbol_references():
        if key(user) != key(owner):
            graph.setdefault(key(user), set()).add(key(owner))
    return graph


def cycles(graph):
    """One cycle a knot (strongly connected component), as 'a -> b -> a'; [] of an acyclic graph."""
    found = []
    for start in sorted(graph):
        if any(start in knot for knot, _ in found):
            continue
        path = shortest_path_back(graph, start)
        if path:
            reach = reachable(graph, start)
            knot = {n for n in reach if start in reachable(graph, n)}
            found.append((knot, " -> ".join(path)))
    return [path for _, path in found]


def reachable(graph, start):
    seen, todo = set(), [start]
    while todo:
        for node in graph.get(todo.pop(), ()):
            if node not in seen:
                seen.add(node)
                todo.append(node)
    return seen


def shortest_path_back(graph, start):
    came_from, todo = {}, [start]
    for node in todo:
        for following in sorted(graph.get(node, ())):
            if following == start:
                path = [start]
                while node != start:
                    path.append(node)
                    node = came_from[node]
                return [start, *path[:0:-1], start] if len(path) > 1 else [start, start]
            if following not in came_from:
                came_from[following] = node
                todo.append(following)
    return None


# ---- types --------------------------------------------------------------------------------------

STRUCT = re.compile(r"\bstruct\s+(\w+)?\s*\{")


def struct_bodies(text):
    """[(names, body)] of the struct definitions of a file; one inside another belongs to the outer."""
    found, at = [], 0
    while match := STRUCT.search(text, at):
        depth, at = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        after = re.match(r"\s*(\w+)?", text[at:]).group(1)
        found.append(({match.group(1), after} - {None}, text[match.end():at - 1]))
    return found


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


@functools.cache
def types():
    """({type: module that defines it}, {type: (path, body)})"""
    owners, bodies, named = {}, {}, {}
    for path in sources():
        text = without_comments((REPO / path).read_text())
        for names, body in struct_bodies(text):
            for name in names:
                owners[name] = module_of(path)
                bodies[name] = path, body
        for name in re.findall(r"\btypedef\s+struct\s+\w+\s+(\w+)\s*;", text):
            named.setdefault(name, module_of(path))
    return named | owners, bodies


def modules_pointed_to(type_name, seen=()):
    """The other modules whose types a struct points to, itself or in structs that it contains."""
    owners, bodies = types()
    path, body = bodies[type_name]
    body = re.sub(r"\(\s*\*\s*\w+\s*\)\s*\([^;]*\)", " ", body)  # what a callback takes is not held
    pointed = {owners[name] for name in re.findall(r"\b(vx_\w+)(?:\s+const)?\s*\*", body)
               if name in owners}
    for name in re.findall(r"\b(vx_\w+)\s+\w", body):
        if name in bodies and name != type_name and name not in seen:
            pointed |= modules_pointed_to(name, (*seen, type_name))
    return pointed - {module_of(path), "base"}
