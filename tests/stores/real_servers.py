"""The real servers of the suite, in build/stores: Milvus 2.3.5 from PyPI, and Debian's PostgreSQL with pgvector.

pgvector is built from Debian 13's source package against the headers of Debian's package, in a copy of the
installed PostgreSQL, which finds its extensions beside itself. What cannot be had skips its tests, with why.
"""

import contextlib
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "stores"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, **kw):
    done = subprocess.run(list(map(str, command)), **QUIET, **kw)
    if done.returncode:
        raise OSError(f"{command[0]} failed: {done.stdout.decode(errors='replace')[-400:]}")
    return done.stdout.decode()


@contextlib.contextmanager
def made_once(name):
    """A folder that is complete once its block has run; one process at a time makes it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = FOLDER / name
    with open(FOLDER / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            yield folder, False
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder, True
        (folder / "complete").touch()


# ---- Milvus ----

def install_milvus():
    with made_once("milvus") as (folder, new):
        if new:
            run(sys.executable, "-m", "venv", folder)
            run(folder / "bin/pip", "install", "-q", "milvus==2.3.5")
    return folder / "bin/milvus-server"


@contextlib.contextmanager
def milvus(data):
    """Gives the port of its REST API. One at a time on a machine: its etcd listens on a fixed port, and a
    Milvus whose etcd cannot panics."""
    try:
        program = install_milvus()
    except OSError as why:
        pytest.skip(f"Milvus cannot be installed: {why}")
    with open("/tmp/vidx-test-milvus.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for attempt in range(5):
            folder, port = data / f"milvus-{attempt}", free_port()
            with open(data / "milvus.log", "ab") as log:
                process = subprocess.Popen([program, "--data", folder, "--proxy-port", str(port)],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            try:
                if wait_for_http(f"http://127.0.0.1:{port}/v1/vector/collections",
                                 folder / "logs/milvus-stderr.log", 240):
                    yield port
                    return
            finally:
                end_group(process)
            time.sleep(5)
    pytest.skip("Milvus did not start on this machine")


def end_group(process):
    os.killpg(process.pid, 15)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def wait_for_http(url, log, seconds):
    """False: it panicked, or said nothing for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return True
        if log.exists() and b"panic:" in log.read_bytes():
            return False
        time.sleep(0.2)
    return False


# ---- PostgreSQL with pgvector ----

POOL = "https://deb.debian.org/debian/pool/main/p/pgvector/pgvector_0.8.0.orig.tar.gz"


def install_postgresql():
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installed:
        raise OSError("the Debian package postgresql is not installed")
    version = installed[-1].parts[4]
    with made_once(f"postgresql-{version}") as (folder, new):
        if new:
            for place in (f"usr/lib/postgresql/{version}", f"usr/share/postgresql/{version}"):
                shutil.copytree(f"/{place}", folder / place)
            build_pgvector(folder, version)
    return folder / f"usr/lib/postgresql/{version}/bin"


def build_pgvector(folder, version):
    source = folder / "source"
    source.mkdir()
    with urllib.request.urlopen(POOL, timeout=180) as answer:
        (source / "pgvector.tar.gz").write_bytes(answer.read())
    run("tar", "-xzf", "pgvector.tar.gz", "--strip-components=1", cwd=source)
    run("apt-get", "-q", "download", f"postgresql-server-dev-{version}", cwd=source)
    run("dpkg", "-x", next(source.glob("*.deb")), source / "headers")
    include = source / f"headers/usr/include/postgresql/{version}/server"
    flags = ["-O2", "-fPIC", "-shared", "-ftree-vectorize", "-fassociative-math", "-fno-signed-zeros",
             "-fno-trapping-math", f"-I{include}"]
    run("nice", "-n", "19", "gcc", *flags, "-o", folder / f"usr/lib/postgresql/{version}/lib/vector.so",
        *sorted(source.glob("src/*.c")))
    extension = folder / f"usr/share/postgresql/{version}/extension"
    shutil.copy(source / "vector.control", extension)
    release = re.search(r"default_version = '(.*)'", (source / "vector.control").read_text())[1]
    shutil.copy(source / "sql/vector.sql", extension / f"vector--{release}.sql")


@contextlib.contextmanager
def postgresql(data):
    """Gives (port, password, run): run(sql) gives psql's lines. It refuses to run as root."""
    try:
        binaries = install_postgresql()
    except OSError as why:
        pytest.skip(f"PostgreSQL with pgvector cannot be made: {why}")
    home, port, password = data / "postgresql", free_port(), "pass-Word-7"
    home.mkdir()
    (home / "password").write_text(password)
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(home, "postgres")
        for parent in home.parents:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o001)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    run(*as_user, binaries / "initdb", "-D", home / "db", "-U", "vidx", "-A", "scram-sha-256", "-E", "UTF8",
        "--pwfile", home / "password", "--no-sync")
    log = open(data / "postgresql.log", "wb")
    process = subprocess.Popen([*as_user, binaries / "postgres", "-D", home / "db", "-p", str(port), "-k", home,
                                "-h", "127.0.0.1"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def sql(text):
        return run(binaries / "psql", "-h", "127.0.0.1", "-p", port, "-U", "vidx", "-d", "postgres", "-At", "-c",
                   text, env={**os.environ, "PGPASSWORD": password}).splitlines()

    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                sql("SELECT 1")
                break
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.skip("PostgreSQL did not start on this machine")
            time.sleep(0.1)
        yield port, password, sql
    finally:
        process.terminate()
        process.wait(30)
        log.close()
