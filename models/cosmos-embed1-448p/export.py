"""Writes the package cosmos-embed1-448p; see models/cosmos-embed1/README.md."""
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(MODELS), str(MODELS / "cosmos-embed1")]
from cosmos.exporter import main  # noqa: E402

if __name__ == "__main__":
    main("448p")
