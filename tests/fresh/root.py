"""A fresh Debian root under build/fresh/, and commands run inside it.

The root is what debootstrap's smallest variant makes, so nothing of this machine helps by accident.
Only the ways out are this machine's own: its apt sources with the root's release in them, its pip
configuration with the folders that it names, its extra certificate authorities and its resolver.
Each command gets mount and process namespaces of its own: when it ends, all its children and mounts
are gone.
"""

import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess

REPO = pathlib.Path(__file__).resolve().parents[2]
WORK = REPO / "build/fresh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def machine_mirror():
    """The first Debian archive among this machine's apt sources."""
    texts = [f.read_text() for f in pathlib.Path("/etc/apt").glob("sources.list*") if f.is_file()]
    texts += [f.read_text() for f in pathlib.Path("/etc/apt/sources.list.d").glob("*.*s*")]
    uris = re.findall(r"^(?:URIs:|deb(?:\s+\[.*?\])?)\s+(\S+)", "\n".join(texts), re.M)
    return next((u for u in uris if u.rstrip("/").endswith("/debian")),
                "http://deb.debian.org/debian")


def base_tarball(suite):
    """debootstrap's result as a tarball, made once."""
    tarball = WORK / f"base-{suite}.tar"
    if not tarball.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        tree = WORK / "base.partial"
        remove(tree)
        subprocess.run(["debootstrap", "--variant=minbase", suite, tree, machine_mirror()],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        partial = tarball.with_suffix(".partial")
        subprocess.run(["tar", "-C", tree, "-cf", partial, "."], check=True)
        partial.rename(tarball)
        remove(tree)
    return tarball


def remove(tree):
    """Deletes a root, unless something is still mounted in it."""
    if any(f" {tree}" in line for line in open("/proc/self/mounts", encoding="utf-8")):
        raise RuntimeError(f"{tree} still has mounts")
    shutil.rmtree(tree, ignore_errors=True)


def pip_folders():
    """Local folders that pip's configuration or environment names, as absolute paths."""
    done = subprocess.run(["python3", "-m", "pip", "config", "list"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False)
    named = done.stdout + " ".join(v for k, v in os.environ.items() if k.startswith("PIP_"))
    paths = {pathlib.Path(p) for p in re.findall(r"(?<![\w:/])(?:file://)?(/[\w./+-]+)", named)}
    # A simple index refers to files beside its own folder.
    folders = {p.parent if p.name == "simple" else p for p in paths}
    return sorted(str(p) for p in folders if p.is_dir())


class Root:
    def __init__(self, name, suite="bookworm"):
        self.path = WORK / name
        remove(self.path)
        self.path.mkdir(parents=True)
        subprocess.run(["tar", "-C", self.path, "-xf", base_tarball(suite)], check=True)
        self._ways_out(suite)

    def _ways_out(self, suite):
        apt = self.path / "etc/apt"
        sources = [f for f in pathlib.Path("/etc/apt/sources.list.d").iterdir()
                   if f.suffix in (".list", ".sources") and "debian" in f.read_text()]
        if sources:
            (apt / "sources.list").unlink()
            machine = platform.freedesktop_os_release()["VERSION_CODENAME"]
            for file in sources:
                text = file.read_text().replace(machine, suite)
                (apt / "sources.list.d" / file.name).write_text(text)
        for file in ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf"]:
            if os.path.exists(file):
                shutil.copy(file, self.path / file[1:])
        extra = pathlib.Path("/usr/local/share/ca-certificates")
        if extra.is_dir():
            shutil.copytree(extra, self.path / str(extra)[1:], dirs_exist_ok=True)

    def command(self, command, env=None, cwd="/", user="root", network=True):
        """The argument list that runs a shell command inside."""
        pip = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "http", "HTTP", "no_pr"))}
        env = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"} | pip | (env or {})
        root = shlex.quote(str(self.path))
        lines = ["set -e", f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev",
                 f"mount -t tmpfs tmpfs {root}/tmp"]
        for folder in pip_folders():
            lines += [f"mkdir -p {root}{folder}", f"mount --rbind {folder} {root}{folder}"]
        inside = f"cd {shlex.quote(cwd)} && {command}"
        lines.append(shlex.join(
            ["exec", "chroot", f"--userspec={user}:{user}", str(self.path), "/usr/bin/env", "-i",
             *[f"{k}={v}" for k, v in env.items()], "/bin/sh", "-c", inside]))
        return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
                *([] if network else ["--net"]), "sh", "-c", "\n".join(lines)]

    def run(self, command, **where):
        subprocess.run(self.command(command, **where), check=True, stdin=subprocess.DEVNULL)

    def start(self, command, log, **where):
        """Starts a program in the background as process 1; its output goes to the file `log`."""
        with open(log, "wb") as out:
            return subprocess.Popen(self.command("exec " + command, **where), stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=subprocess.STDOUT)
