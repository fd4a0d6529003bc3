"""Writing a model package: TorchScript archives, manifest.json, all or nothing.

The bytes of an archive decide the digest of the space that its vectors live in, so they must be the
same whenever and wherever the same exporter runs: write_archive() drops what is not.
"""
import hashlib
import json
import shutil
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path


def digest(path):
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(sources, distributions):
    """What a package was made from, as text: digests of the exporter's files (and of those beside
    this one), versions of what it used. Needs no torch, so that asking costs little."""
    parts = [f"{name}=={metadata.version(name)}" for name in distributions]
    files = {Path(path).resolve() for path in sources} | set(Path(__file__).parent.glob("*.py"))
    for path in sorted(files, key=lambda file: (file.parent.name, file.name)):
        parts.append(f"{path.name}:{digest(path)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# The archive in float8, and what follows the name of a package that has no other (common/fp8.py).
FP8_FILE, FP8_SUFFIX = "video.fp8.pt", "-fp8"


def holds(output, made_from):
    """The files of the package `output`, if it is undamaged and the one that would be written; else none."""
    try:
        manifest = json.loads((output / "manifest.json").read_text())
        current = manifest["self_check"]["made_from"] == made_from and all(
            digest(output / name) == wanted for name, wanted in manifest["files"].items())
        return manifest["files"] if current else {}
    except (OSError, ValueError, KeyError):
        return {}


def is_current(output, made_from, with_fp8=False):
    """Whether what would be written is there already; float8 in the package or beside it."""
    held = holds(output, made_from)
    if with_fp8 and FP8_FILE not in held:
        return bool(held and holds(output.with_name(output.name + FP8_SUFFIX), made_from))
    return bool(held)


def write_archive(module, path):
    """Writes a ScriptModule as a TorchScript archive that depends on nothing but its code and weights.

    torch.jit.save adds, for tracebacks, where in which Python file each operation was written: it
    differs between checkouts. Entries stay uncompressed, as libtorch wants them. Goes through a file
    beside `path`, an entry at a time: the archives of large models have several GB."""
    import torch

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        saved = f"{folder}/archive"  # the name becomes that of the archive's own root folder
        torch.jit.save(module, saved)
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                if not entry.filename.endswith((".debug_pkl", "/serialization_id")):
                    target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))


def write(output, manifest, archives):
    """Writes the folder `output` from {file name: ScriptModule or bytes}, beside its place first,
    so that an interrupted run leaves the old package or none. `files` is filled in."""
    output.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        staging.chmod(0o755)
        digests = {}
        for name, module in archives.items():
            if isinstance(module, bytes):
                (staging / name).write_bytes(module)
            else:
                write_archive(module, staging / name)
            digests[name] = digest(staging / name)
        text = json.dumps(manifest | {"files": digests}, indent=2)
        (staging / "manifest.json").write_text(text + "\n")
        shutil.rmtree(output, ignore_errors=True)
        staging.rename(output)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
