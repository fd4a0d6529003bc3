"""A vidx on a machine in trouble: system calls that fail, or end the process (tests/tools/faults.c)."""

import os

import tools
from server import Server


class Troubled(Server):
    """A server whose calls fail between fail() and recover()."""

    def __init__(self, folder, models, flags=()):
        self.rule = folder / "fault"
        super().__init__(folder / "data", models, flags=flags, env={
            "LD_PRELOAD": str(tools.path("tools/libvxfaults.so")), "VIDX_FAULT": str(self.rule),
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"})

    def fail(self, call, code, part, from_byte=0):
        self.rule.with_suffix(".new").write_text(f"{call} {code} {from_byte} {part}\n")
        self.rule.with_suffix(".new").rename(self.rule)

    def recover(self):
        self.rule.unlink()
