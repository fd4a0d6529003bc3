"""What ran at the same time, from a trace of `vidx embed --trace`.

    overlap.py TRACE.json

Of the middle of the run, for each stage the share of the time in which some thread did it, and the share of the
model's time in which it went on beside the model. A GPU that is fed well has decoding and preparing beside
nearly all of it. Decoding on the GPU counts from the first packet of a part to its last picture.
"""
import json
import sys

STAGES = ("decode", "prepare", "model", "copy out")


def merged(spans):
    """Sorted, without overlaps."""
    result = []
    for begin, end in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1][1] = max(result[-1][1], end)
        else:
            result.append([begin, end])
    return result


def common(a, b):
    """Of two merged lists, the time that lies in both."""
    total = i = j = 0
    while i < len(a) and j < len(b):
        total += max(0, min(a[i][1], b[j][1]) - max(a[i][0], b[j][0]))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return total


def shares(path):
    """{stage: [share of the time, share of the model's time]}; None for a trace without a model."""
    events = [event for event in json.loads(open(path, encoding="utf-8").read()) if event["ph"] == "X"]
    stages = {stage: merged([event["ts"], event["ts"] + event["dur"]] for event in events
                            if event["name"].startswith(stage)) for stage in STAGES}
    if not stages["model"] or not stages["decode"]:
        return None
    first, last = stages["decode"][0][0], stages["model"][-1][1]
    middle = [[first + 0.1 * (last - first), last - 0.1 * (last - first)]]
    model = [[max(a, middle[0][0]), min(b, middle[0][1])] for a, b in stages["model"]
             if b > middle[0][0] and a < middle[0][1]]
    took, model_took = middle[0][1] - middle[0][0], sum(b - a for a, b in model)
    return {stage: [common(spans, middle) / took, common(spans, model) / model_took if model_took else 0]
            for stage, spans in stages.items()}


def text(result):
    if not result:
        return "no model ran"
    return (", ".join(f"{stage} {share:.0%}" for stage, (share, _) in result.items()) + " of the time; beside the model: " +
            ", ".join(f"{stage} {beside:.0%}" for stage, (_, beside) in result.items() if stage != "model"))


if __name__ == "__main__":
    print(text(shares(sys.argv[1])))
