"""Of two copies, --dedup keeps the one that a person would."""

import pandas as pd
import pytest


@pytest.mark.parametrize("bin_", [".Trash-1000/files", ".local/share/Trash/files", "$RECYCLE.BIN/S-1-5",
                                  ".hidden"])
def test_copy_in_the_trash_is_left_out_and_not_its_original(batch, clip, bin_):
    batch.put("holiday/a.mp4", clip(1))
    batch.put(f"{bin_}/a.avi", clip(1, codec="mpeg4", suffix=".avi"))
    batch.run("--dedup", "0.9")
    removed = pd.read_parquet(batch.output / "duplicates")["id"].tolist()
    of = {line["file"]: line["clip_id"] for line in batch.lines()}
    assert removed in ([], [of.get(f"{bin_}/a.avi")]), of
    assert of["holiday/a.mp4"] not in removed
