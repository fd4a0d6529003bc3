"""openapi.yaml is the contract: it has every route, and answers are as it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def contract():
    return yaml.safe_load((ROOT / "api/openapi.yaml").read_text())


def operations(contract):
    return {(method.upper(), path): (operation, item) for path, item in contract["paths"].items()
            for method, operation in item.items() if method in METHODS}


def resolved(contract, schema):
    """The schema itself, where it is a reference to a named one."""
    return contract["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def every_key(value):
    """All keys of all objects in a document."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from every_key(below)
    elif isinstance(value, list):
        for below in value:
            yield from every_key(below)


def routes():
    """(method, path) → (query parameters, form fields) of the table in api/resources/routes.c."""
    text = (ROOT / "api/resources/routes.c").read_text()
    words = dict(re.findall(r'#define (\w+_FIELDS) "([^"]*)"', text))
    table = text[text.index("rows[] = {"):text.index("\n};")]
    rows = {}
    for row in re.findall(r"\{((?:[^{}]|\{\w+\})*?)\},", table, re.S):
        method, path, _, params, fields, *_ = [part.strip() for part in row.split(",")]
        value = [" ".join(words.get(piece, piece.strip('"')) for piece in re.findall(r'"[^"]*"|\w+', part)).split()
                 for part in (params, fields)]
        rows[method.strip('"'), path.strip('"')] = value
    return rows


def test_routes_and_contract_name_the_same_addresses(contract):
    assert set(routes()) == set(operations(contract))


def test_routes_and_contract_name_the_same_parameters(contract):
    shared = contract["components"]["parameters"]
    for address, (operation, item) in operations(contract).items():
        named = [shared[p["$ref"].rsplit("/", 1)[1]] if "$ref" in p else p
                 for p in operation.get("parameters", []) + item.get("parameters", [])]
        query = {p["name"] for p in named if p["in"] == "query"}
        form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
        properties = resolved(contract, form["schema"])["properties"] if form else {}
        fields = {name for name, schema in properties.items() if schema.get("format") != "binary"}
        assert query == set(routes()[address][0]), address
        assert fields == set(routes()[address][1]), address


def test_commas_in_descriptions_are_quoted(contract):
    """YAML reads an unquoted `{description: One, two}` as a second key, `two`."""
    assert [key for key in every_key(contract) if " " in key] == []


def test_every_operation_names_the_errors_that_any_request_can_get(contract):
    """400: an unknown parameter. 403: a foreign Host or Origin. 500 and 503: a fault, or a server that starts."""
    for (_, path), (operation, _) in operations(contract).items():
        expected = {"400", "403"} | ({"500", "503"} if path.startswith("/v1/") and "/health" not in path else set())
        assert expected <= set(operation["responses"]), path


def test_statuses_of_problems_are_in_the_contract(contract):
    text = (ROOT / "api/http/errors.def").read_text()
    statuses = set(re.findall(r'VX_PROBLEM\(\w+, "[a-z0-9-]+", (\d+),', text))
    named = {status for operation, _ in operations(contract).values() for status in operation["responses"]}
    assert statuses - {"405"} <= named  # 405 is about a method that is not described


def test_served_contract_is_the_file(start):
    assert start().get("/openapi.yaml").content == (ROOT / "api/openapi.yaml").read_bytes()


def test_served_json_says_the_same(start, contract):
    answer = start().get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json" and answer.json() == contract


def test_generated_requests_get_what_the_contract_says(start, clip, tmp_path):
    """schemathesis: valid and invalid requests for every operation, then chains of them."""
    server = start()
    for seed in (95, 96):
        assert server.upload(clip(seed)).status_code == 201
    assert server.upload(clip(97), wait="false").status_code == 202
    run = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/openapi.yaml", "--checks", "all",
         # Not every string is a video or an id, and nothing here asks for authorization; a job
         # that was cancelled stays listed.
         "--exclude-checks", "positive_data_acceptance,ignored_auth,use_after_free", "--max-examples", "40",
         "--seed", "1", "--suppress-health-check", "all", "--request-timeout", "30", "--no-color"],
        capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-6000:]
    assert not re.search(r" (error) ", server.log.read_text()), server.tail()
