"""Packages of full-size networks with random weights, as the exporters make them.

    packages.py DIR NAME...        cosmos-embed1-224p, -336p, -448p, internvideo2-1b

writes DIR/NAME, 5 GB each, and leaves alone what is there. The weights lie under DIR/weights
meanwhile. Cosmos-Embed1 is exported with --native, as no published code is at hand.
"""
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/exporters"))


def cosmos(name, weights):
    import cosmos_repository as made

    made.make(weights, *made.VARIANTS[name.removeprefix("cosmos-embed1-")], {}, made.FULL,
              made.FULL_QFORMER)
    return "--native", ""


def internvideo2(_, weights):
    import internvideo2_checkpoint as made

    weights.mkdir(parents=True)
    made.write(weights / "InternVideo2-stage2_1b-224p-f4.pt", made.FULL)
    return ()


def make(folder, name):
    weights = folder / "weights" / name
    shutil.rmtree(weights, ignore_errors=True)
    options = (cosmos if name.startswith("cosmos-embed1-") else internvideo2)(name, weights)
    subprocess.run([sys.executable, ROOT / "models" / name / "export.py", "--output",
                    folder / name, "--weights", weights, *options], check=True)
    shutil.rmtree(weights)


def main():
    folder = Path(sys.argv[1]).resolve()
    for name in sys.argv[2:]:
        if not (folder / name / "manifest.json").exists():
            make(folder, name)


if __name__ == "__main__":
    main()
