"""Carries out a Dockerfile in fresh roots, where no Docker engine runs.

It knows the instructions that ours uses and refuses every other, so the file that is tested is the
file that docker build reads. Build arguments are left out: pip uses this machine's own settings, as
somebody behind a mirror would pass them.
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess

from root import REPO, Root


def instructions(path):
    """(name, rest) of each instruction; comments dropped, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", pathlib.Path(path).read_text(encoding="utf-8"), flags=re.M)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


class Stage:
    def __init__(self, image, name):
        if not re.fullmatch(r"debian:(12|bookworm)(-slim)?", image):
            raise ValueError(f"no root for the image {image}")
        self.root = Root("docker-" + name)
        self.env, self.cwd, self.user = {}, "/", "root"
        self.health = self.entrypoint = self.cmd = None

    def run(self, command):
        self.root.run(command, env=self.env, cwd=self.cwd, user=self.user)

    def workdir(self, folder):
        self.cwd = folder
        (self.root.path / folder[1:]).mkdir(parents=True, exist_ok=True)

    def copy(self, rest, stages):
        *flags, source, target = shlex.split(rest)
        if flags:
            stage = stages[flags[0].removeprefix("--from=")]
            shutil.copytree(stage.root.path / source[1:], self.root.path / target[1:],
                            symlinks=True, dirs_exist_ok=True)
        elif source == ".":
            tree = self.root.path / self.cwd[1:]
            archive = subprocess.Popen(["git", "-C", REPO, "archive", "HEAD"],
                                       stdout=subprocess.PIPE)
            subprocess.run(["tar", "-C", tree, "-x"], stdin=archive.stdout, check=True)
            if archive.wait():
                raise RuntimeError("git archive failed")
        else:
            raise ValueError(f"COPY {rest}")

    def start(self, log):
        return self.root.start(shlex.join(self.entrypoint + self.cmd), log, env=self.env,
                               cwd=self.cwd, user=self.user)

    def healthy(self):
        return subprocess.run(
            self.root.command(self.health, env=self.env, cwd=self.cwd, user=self.user),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False).returncode == 0


def carry_out(path):
    """Builds every stage; gives the last."""
    stages, stage = {}, None
    for name, rest in instructions(path):
        print(f"{name} {rest}", flush=True)
        if name == "FROM":
            image, *alias = rest.split(" AS ")
            key = alias[0] if alias else "final"
            stage = stages[key] = Stage(image, key)
        elif name == "RUN":
            stage.run(rest)
        elif name == "COPY":
            stage.copy(rest, stages)
        elif name == "WORKDIR":
            stage.workdir(rest)
        elif name == "ENV":
            stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif name == "USER":
            stage.user = rest
        elif name == "HEALTHCHECK":
            stage.health = rest.split("CMD ", 1)[1]
        elif name in ("ENTRYPOINT", "CMD"):
            setattr(stage, name.lower(), json.loads(rest))
        elif name not in ("ARG", "VOLUME", "EXPOSE", "STOPSIGNAL"):
            raise ValueError(f"unknown instruction {name}")
    return stage
