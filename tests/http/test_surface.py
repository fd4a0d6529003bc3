"""Every command and every resource of the API is told of where people look: --help, the contract, a README, the metrics.
That routes and contract agree in detail is in test_openapi.py."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from server import BINARY

pytestmark = pytest.mark.release  # documents
ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("src/*/README.md")), ROOT / "models/README.md"]
COMMANDS = re.findall(r'^    \{"(\w+)", vx_command_', (ROOT / "src/main.c").read_text(), re.M)
CONTRACT = yaml.safe_load((ROOT / "api/openapi.yaml").read_text())
RESOURCES = sorted({path.split("/")[2] for path in CONTRACT["paths"] if path.startswith("/v1/")})

# Which metrics, beside those of all requests by route, tell how a resource does. A new resource is to be added here.
METRICS = {
    "clusters": ["clusterings", "jobs_waiting"],
    "duplicate-decisions": ["duplicate_decisions_total", "duplicate_decisions_undone_total"],
    "duplicates": ["duplicate_scans_finished_total", "duplicate_pairs_found_total"],
    "embeddings": ["model_clips_total", "model_busy_seconds_total"],
    "export": ["exports_active", "export_bytes_total", "exports_broken_off_total"],
    "folders": ["folders", "folder_files", "folder_bytes"],
    "forgotten": ["folder_files"],
    "health": ["missing_files", "disk_free_bytes"],
    "import": ["imports_finished_total", "import_rows_total", "import_vectors_total"],
    "jobs": ["jobs_waiting", "jobs_parked"],
    "metadata-indexes": ["filter_columns_bytes", "filter_columns_rebuilding"],
    "metrics": ["uptime_seconds"],
    "models": ["model_batches_total", "index_vectors", "copy_pictures", "copy_undescribed_videos"],
    "reread": ["videos_outdated"],
    "search": ["search_finished_total", "search_seconds_total"],
    "stats": ["uptime_seconds"],
    "stores": ["store_equal", "store_waiting_videos", "store_lag_seconds"],
    "videos": ["videos", "ingest_finished_total"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_help_for_every_option_and_is_in_a_readme(command):
    told = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True, timeout=180)
    assert told.returncode == 0 and f"vidx {command}" in told.stdout
    source = (ROOT / f"src/cli/{command if command != 'restore' else 'backup'}.c").read_text()
    options = set(re.findall(r'^    \{"([\w-]+)", VX_OPTION_', source, re.M))
    explained = set(re.findall(r"^ +--([\w-]+)(?: \S+)?\s+\w", told.stdout, re.M))
    assert options and explained >= (options if command not in ("backup", "restore") else {"data"}), options - explained
    usage = subprocess.run([BINARY, "--help"], capture_output=True, text=True, timeout=180).stdout
    assert re.search(rf"^  {command} +\w", usage, re.M)
    assert any(re.search(rf"\bvidx {command}\b", path.read_text()) for path in READMES)


def test_every_resource_has_metrics(server):
    families = set(re.findall(r"^# HELP vidx_(\w+) .", server.get("/v1/metrics").text, re.M))
    assert sorted(METRICS) == RESOURCES
    assert {name for names in METRICS.values() for name in names} <= families


@pytest.mark.parametrize("resource", RESOURCES)
def test_resource_is_in_a_readme_and_explained_in_the_contract(resource):
    assert any(f"/v1/{resource}" in path.read_text() for path in READMES)
    for path, methods in CONTRACT["paths"].items():
        if path.split("/")[1:3] == ["v1", resource]:
            for method, operation in methods.items():
                assert method == "parameters" or operation["summary"], path
