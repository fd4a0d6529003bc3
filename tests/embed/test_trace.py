"""--trace: what each thread of vidx embed did when."""

import json

import make as samples


def spans(path):
    return [event for event in json.loads(path.read_text()) if event["ph"] == "X"]


def test_trace_has_every_stage_of_every_clip(batch, tmp_path):
    for name in ("h264_closed.mp4", "hevc_open.mp4", "vp9.webm"):
        batch.put(name, samples.sample(name))
    path = tmp_path / "trace.json"
    batch.run("--trace", path)
    events = spans(path)
    n = {name: sum(event["name"] == name for event in events)
         for name in ("decode on the CPU", "prepare on the CPU", "model", "copy out")}
    assert n["decode on the CPU"] >= 3 and n["prepare on the CPU"] >= 3 * 2
    assert 2 <= n["model"] <= 1 + len(batch.lines())  # the first run proves the package
    assert n["copy out"] >= n["model"]
    threads = {event["tid"]: event["args"]["name"] for event in json.loads(path.read_text())
               if event["name"] == "thread_name"}
    assert {event["tid"] for event in events} <= set(threads)


def test_spans_of_a_thread_lie_inside_each_other_or_apart(batch, tmp_path):
    batch.put("a.mp4", samples.sample("h264_closed.mp4"))
    path = tmp_path / "trace.json"
    batch.run("--trace", path)
    events = spans(path)
    for a in events:
        assert a["dur"] >= 0
        for b in events:
            if a["tid"] == b["tid"] and a["ts"] < b["ts"] < a["ts"] + a["dur"]:
                assert b["ts"] + b["dur"] <= a["ts"] + a["dur"], (a, b)


def test_trace_that_cannot_be_written_is_told_before_anything_is_read(batch, tmp_path):
    batch.put("a.mp4", samples.sample("h264_closed.mp4"))
    said = batch.run("--trace", tmp_path / "missing" / "trace.json", code=1)
    assert "the trace file" in said and "No such file or directory" in said
    assert not (batch.output / "clips.jsonl").exists()
