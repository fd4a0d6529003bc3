"""What several suites share: the paths of their helpers, and the small model package."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("harness", "samples", "testmodel")]


@pytest.fixture(scope="session")
def tiny_model():
    """The folder with the packages of tests/testmodel, made if they are not there."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("testmodel", ROOT / "tests/testmodel/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if os.environ.get("VIDX_DEVICE", "cpu").startswith("cuda"):  # ./dev test gpu
        folder = ROOT / "build" / "models-test-cuda"
        module.make(folder, ("cpu", "cuda"))
        return folder
    folder = ROOT / "build" / "models-test"
    module.make(folder)
    return folder
