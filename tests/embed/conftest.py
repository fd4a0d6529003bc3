"""vidx embed: the real program on folders of small videos, with the small test model."""

import functools
import json
import sqlite3
import subprocess

import faiss
import make as samples
import numpy as np
import pytest
from server import BINARY


class Batch:
    """An input and an output folder, and vidx embed between them."""

    def __init__(self, folder, models):
        self.input, self.output, self.models = folder / "in", folder / "out", models
        self.input.mkdir()

    def command(self, *flags, model="tiny"):
        return [str(part) for part in (BINARY, "embed", "--input", self.input, "--output",
                                       self.output, "--models", self.models, "--model", model,
                                       *flags)]

    def run(self, *flags, code=0, prefix=(), model="tiny"):
        """Runs to the end; gives what it said on stderr."""
        done = subprocess.run([*prefix, *self.command(*flags, model=model)], timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        said = done.stderr.decode(errors="replace")
        assert done.returncode == code, said
        assert done.stdout == b""
        return said

    def start(self, *flags, model="tiny", **popen):
        return subprocess.Popen(self.command(*flags, model=model), stdin=subprocess.DEVNULL,
                                **{"stderr": subprocess.PIPE, **popen})

    def put(self, name, source):
        """A copy of a file, or bytes, under this name in the input folder."""
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        return path

    def lines(self, name="clips.jsonl"):
        return [json.loads(line) for line in (self.output / name).read_text().splitlines()]

    def vectors(self):
        return np.load(self.output / "embeddings.npy")

    def index(self):
        return faiss.read_index(str(self.output / "video_index.faiss"))

    def content(self):
        """{name: (bytes, modification time)} of the outputs."""
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
                for path in self.output.iterdir() if path.is_file()}

    def catalog(self, query):
        """Rows of the catalog, read beside a running vidx; [] while there is none."""
        path = self.output / ".vidx" / "catalog.db"
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as db:
                return db.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []

    def rows(self):
        """{video id: catalog row}"""
        return dict(self.catalog("SELECT id, row FROM videos"))

    def inserted(self):
        """How many videos were ever inserted: a row number is never given out twice."""
        return (self.catalog("SELECT seq FROM sqlite_sequence WHERE name = 'videos'") or [(0,)])[0][0]

    def check_consistent(self):
        """All three outputs say the same, whatever they say."""
        vectors, index = self.vectors(), self.index()
        assert type(index) is faiss.IndexFlatIP
        assert vectors.dtype == np.dtype("<f4") and vectors.shape == (index.ntotal, index.d)
        assert np.array_equal(index.reconstruct_n(0, index.ntotal).reshape(vectors.shape), vectors)
        assert sorted({line["row"] for line in self.lines()}) == list(range(len(vectors)))


@pytest.fixture
def batch(tmp_path, tiny_model):
    return Batch(tmp_path, tiny_model)


@pytest.fixture(scope="session")
def clip():
    """clip(seed) is the path of a small video, another scene for each seed."""
    return functools.partial(samples.small, seconds=2)
