"""Downloading a published repository at one revision from the Hugging Face hub, over plain HTTPS.

Only ever called when the user asked for it. $HF_TOKEN goes along when it is set (to the hub alone,
not to the hosts that it redirects to), and $HF_ENDPOINT names another hub.
"""
import fnmatch
import hashlib
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import PurePosixPath

TIMEOUT_S, BLOCK_BYTES = 60, 1 << 20


class Failed(Exception):
    """Nothing unfinished is left under a file's name; the message says what to do."""


def open_url(url, repo):
    request = urllib.request.Request(url)
    if token := os.environ.get("HF_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise Failed(f"{url}: {error.code}: accept the licence at https://huggingface.co/{repo} "
                         f"and set HF_TOKEN to a token of yours ({'it is' if token else 'not'} set)"
                         ) from None
        raise Failed(f"{url}: {error.code} {error.reason}") from None
    except OSError as error:
        raise Failed(f"{url}: {error}") from None


def listing(endpoint, repo, revision):
    """The revision's whole name, of which `revision` may be the beginning, and {file name: (bytes or
    None, SHA-256 or None)} as the hub has them there."""
    with open_url(f"{endpoint}/api/models/{repo}/revision/{revision}?blobs=true", repo) as answer:
        facts = json.load(answer)
    if not str(facts.get("sha")).startswith(revision):
        raise Failed(f"{endpoint} answers revision {facts.get('sha')} for {repo}@{revision}")
    found = {}
    for entry in facts["siblings"]:
        name, lfs = entry["rfilename"], entry.get("lfs") or {}
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name:
            raise Failed(f"{repo}@{revision} lists a file {name!r}")
        found[name] = (entry.get("size", lfs.get("size")), lfs.get("sha256"))
    return facts["sha"], found


def sha256_of(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url, path, repo, n_bytes, sha256):
    """Into a file beside `path`, which takes its name when size and digest are right."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_url(url, repo) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file, BLOCK_BYTES)
        if n_bytes is not None and part.stat().st_size != n_bytes:
            raise Failed(f"{url}: {part.stat().st_size} bytes came, {n_bytes} were announced")
        if sha256 and (came := sha256_of(part)) != sha256:
            raise Failed(f"{url}: has SHA-256 {came}, wanted {sha256}")
        part.rename(path)
    except OSError as error:
        raise Failed(f"{url}: {error}") from None
    finally:
        part.unlink(missing_ok=True)


def download(repo, revision, folder, patterns=("*",), digests=None):
    """The repository's files that match a pattern, into `folder`. What is there already with the
    right size and digest stays. `digests` {file: SHA-256} are those that we know; a file that has
    none is checked against the hub's own, if it has one."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    digests = digests or {}
    revision, found = listing(endpoint, repo, revision)
    wanted = sorted(n for n in found if any(fnmatch.fnmatch(n, p) for p in patterns))
    if missing := {n for n in digests if any(fnmatch.fnmatch(n, p) for p in patterns)} - set(wanted):
        raise Failed(f"{repo}@{revision} lacks {', '.join(sorted(missing))}")
    for name in wanted:
        n_bytes, sha256 = found[name]
        sha256, path = digests.get(name, sha256), folder / name
        if path.exists() and sha256 and sha256_of(path) == sha256:
            continue
        print(f"downloading {name} ({(n_bytes or 0) / 1e6:.0f} MB)", flush=True)
        url = f"{endpoint}/{repo}/resolve/{revision}/{urllib.parse.quote(name)}"
        fetch(url, path, repo, n_bytes, sha256)
