"""How many files and connections this process may have open at once."""

from __future__ import annotations

WANTED = 65_536
"""Maximum open files that are asked for, even where the system would give more."""

UNKNOWN = 1024
"""The limit that is assumed where the system has none to ask for."""


def raise_file_limit(wanted: int = WANTED) -> int:
    """Raise the soft limit of open files as far as the hard one and `wanted` allow. Return the
    limit that holds now. Many systems give a process 1,024 and let it have far more."""
    try:
        import resource
    except ImportError:  # Windows
        return UNKNOWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS has a further limit of its own
        return soft
    return most
