"""The wheel of this tree, in an environment of its own that does not know the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.processes import ROOT, START_SECONDS, ManagedProcess, clean_environ


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """Return what a command prints; fails with all of it if it does not succeed."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}"
    return done.stdout


class Installed:
    """A virtual environment with the wheel, a home folder, and a working folder elsewhere.

    What the app depends on comes from this test's environment by a line in a `.pth` file: the
    checkout, which that environment knows by a `.pth` file of its own, does not come with it.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.elsewhere = folder / "home", folder / "elsewhere"
        self.wheels, venv = folder / "wheels", folder / "venv"
        for made in (self.home, self.elsewhere, self.wheels):
            made.mkdir()
        env = clean_environ(PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
        pip = [sys.executable, "-m", "pip"]
        build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", self.wheels]
        run(*build, ROOT, cwd=self.elsewhere, env=env)
        (self.wheel,) = self.wheels.glob("*.whl")
        run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=self.elsewhere, env=env)
        self.bin = venv / "bin"
        self.python = self.bin / "python"
        to_venv = [*pip, "--python", self.python, "install", "--no-deps", self.wheel]
        run(*to_venv, cwd=self.elsewhere, env=env)
        (self.packages,) = (venv / "lib").glob("python*/site-packages")
        shared = "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
        (self.packages / "dependencies.pth").write_text(f"{shared}\n", encoding="utf-8")

    def environ(self, **changes: str) -> dict[str, str]:
        """Return an environment without anything of the checkout's, and with a home of its own."""
        own = {"HOME": str(self.home), "SECRET_KEY": "", "PYTHONPATH": "", "XDG_DATA_HOME": ""}
        return clean_environ(**{**own, **changes})

    def run(self, *command: str, **env: str) -> str:
        """Return what `chatstream COMMAND` prints."""
        script = self.bin / "chatstream"
        return run(script, *command, cwd=self.elsewhere, env=self.environ(**env))

    def start(self, *command: str, module: bool = False, **env: str) -> ManagedProcess:
        """Start `chatstream COMMAND`, or the same by `python -m streaming`."""
        script = [str(self.python), "-m", "streaming"] if module else [str(self.bin / "chatstream")]
        return ManagedProcess(
            *command, program=script, checkout=self.elsewhere, env=self.environ(**env)
        )

    def contents(self) -> set[Path]:
        """Return the files among the installed packages, without what Python caches."""
        return {path for path in self.packages.rglob("*") if "__pycache__" not in path.parts}
