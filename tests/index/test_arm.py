"""The kernels of 8-bit codes on ARM, under an emulator: with the instructions for products, and without.

Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user.
"""
import shutil
import subprocess

import pytest
import tools

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"

pytestmark = pytest.mark.skipif(not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
                                reason=f"{COMPILER} or {EMULATOR} is not installed")


@pytest.fixture(scope="module", params=["-O0", "-O2", "-O3"])
def program(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("arm") / "dots_check"
    sources = [tools.ROOT / name for name in ("tests/index/dots_check.c", "src/index/dots.c")]
    subprocess.run([COMPILER, "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", request.param,
                    "-static", f"-I{tools.ROOT / 'src'}", *sources, "-lm", "-o", path], check=True)
    return path


@pytest.mark.parametrize("cpu, kernel", [("max", "neon-dotprod"), ("cortex-a53", "plain")])
def test_kernel_gives_the_bits_of_the_plain_one(program, cpu, kernel):
    run = subprocess.run([EMULATOR, "-cpu", cpu, program], stdout=subprocess.PIPE, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, kernel)
