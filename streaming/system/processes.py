"""Process ids that are written down: which process one means, and whether it lives."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

import psutil


def machine() -> str:
    """Return a name of what process ids are unique in: this run of the kernel, and a namespace of
    ids, so that containers are told apart. Empty if that is not known."""
    if platform.system() != "Linux":
        return f"{platform.node()[:80]}:{uuid.getnode():x}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def born(pid: int) -> str:
    """Return when a process of this machine began, in a number that no clock can change; `dead` if
    it has ended and waits to be reaped, empty if that cannot be seen."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if state in "ZX" else fields[18]


def is_dead(of_machine: str, pid: int, born_at: str) -> bool:
    """Whether a process is certainly dead: it ran where we can see it, and there is none such."""
    if not of_machine or of_machine != machine():
        return False
    return not psutil.pid_exists(pid) or born(pid) not in ("", born_at)
