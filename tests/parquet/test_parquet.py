"""The Parquet writer, read back by pyarrow and pandas and compared with the files they write."""

import json
import math
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tools

TYPES = {"utf8": pa.string(), "int64": pa.int64(), "float": pa.float32(), "double": pa.float64(),
         "list_float": pa.list_(pa.float32()), "list_double": pa.list_(pa.float64())}


def as_json(value):
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [as_json(v) for v in value] if isinstance(value, list) else value


def write(path, columns, rows):
    """columns: [(name, type)]; rows: lists of cells."""
    lines = [json.dumps(columns), *(json.dumps([as_json(cell) for cell in row]) for row in rows)]
    tools.run("parquet/parquet_tool", path, input="\n".join(lines).encode())
    return path


def table(columns, rows):
    cells = list(zip(*rows)) or [()] * len(columns)
    return pa.table({name: pa.array(list(cell), TYPES[kind])
                     for (name, kind), cell in zip(columns, cells)})


def check(path, columns, rows):
    """What was written is the table, and its schema is that of a file by pyarrow."""
    write(path, columns, rows)
    wanted = table(columns, rows)
    read = pq.read_table(path)
    read.validate(full=True)
    assert read.schema.equals(wanted.schema)
    # as text, so that NaN equals NaN and -0.0 is not 0.0
    assert str(read.to_pylist()) == str(wanted.to_pylist())
    pq.write_table(wanted, path.with_suffix(".pyarrow"))
    assert pq.ParquetFile(path).schema.equals(pq.ParquetFile(path.with_suffix(".pyarrow")).schema)
    return read


ALL = [(kind, kind) for kind in TYPES]


def cell(kind, chance):
    def real():
        return float(np.float32(chance.choice([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-42,
                                               chance.uniform(-1, 1), chance.gauss(0, 1e6)])))

    if chance.random() < 0.2:
        return None
    if kind == "utf8":
        return "".join(chance.choices("aß水🎬\n\"", k=chance.randrange(6)))
    if kind == "int64":
        return chance.choice([0, -1, 2**63 - 1, -2**63, chance.randrange(-1000, 1000)])
    if not kind.startswith("list"):
        return real()
    return [real() for _ in range(chance.choice([0, 1, 2, 7, 200]))]


@pytest.mark.parametrize("seed", range(8))
def test_random_rows_come_back_with_pyarrows_schema(tmp_path, seed):
    chance = random.Random(seed)
    rows = [[cell(kind, chance) for _, kind in ALL] for _ in range(chance.choice([1, 2, 300]))]
    check(tmp_path / "t.parquet", ALL, rows)


@pytest.mark.parametrize("rows", [[], [[None] * len(ALL)] * 5])
def test_without_rows_or_values_the_schema_stands(tmp_path, rows):
    read = check(tmp_path / "t.parquet", ALL, rows)
    assert read.num_rows == len(rows)


def test_twenty_columns_fit(tmp_path):
    columns = [(f"c{i}", list(TYPES)[i % len(TYPES)]) for i in range(20)]
    chance = random.Random(20)
    check(tmp_path / "t.parquet", columns,
          [[cell(kind, chance) for _, kind in columns] for _ in range(10)])


def test_large_tables_have_several_row_groups(tmp_path):
    columns = [("id", "int64"), ("text", "utf8"), ("embedding", "list_double")]
    rows = [[i, f"{i} " * 20_000, [i / 2] * i] for i in range(300)]
    read = check(tmp_path / "t.parquet", columns, rows)
    parts = pq.ParquetFile(tmp_path / "t.parquet").metadata
    sizes = [parts.row_group(i).total_byte_size for i in range(parts.num_row_groups)]
    assert len(sizes) == 2 and max(sizes) < 17 << 20
    assert read.num_rows == parts.num_rows == 300
    assert sum(parts.row_group(i).num_rows for i in range(parts.num_row_groups)) == 300


def test_pandas_reads_what_pandas_writes(tmp_path):
    frame = pd.DataFrame([{"id": f"clip {i}", "embedding": [i / 4, 0.5]} for i in range(5)])
    frame.to_parquet(tmp_path / "pandas.parquet", index=False)
    write(tmp_path / "t.parquet", [("id", "utf8"), ("embedding", "list_double")],
          frame.to_numpy().tolist())
    ours, theirs = (pd.read_parquet(tmp_path / name) for name in ("t.parquet", "pandas.parquet"))
    pd.testing.assert_frame_equal(ours, theirs)
    assert type(ours["embedding"][0]) is type(theirs["embedding"][0])
    assert ours["embedding"][0].dtype == theirs["embedding"][0].dtype == np.float64


def test_columns_are_read_alone_and_filtered(tmp_path):
    rows = [[f"id{i}", i / 10] for i in range(10)]
    path = write(tmp_path / "t.parquet", [("id", "utf8"), ("score", "float")], rows)
    read = pd.read_parquet(path, columns=["id"], filters=[("score", ">=", 0.75)])
    assert read["id"].tolist() == ["id8", "id9"]
