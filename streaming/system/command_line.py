"""How this installation's commands are called: by the console script, the module or `manage.py`."""

import sys
from pathlib import Path


def program() -> str:
    """Return what stands before a command's name in a shell, as this process was started.

    A process that was not started by one of our commands, such as another ASGI server, gets
    `python manage.py`.
    """
    started = Path(sys.argv[0])
    if started.name in ("chatstream", "chatstream.exe"):
        return "chatstream"
    if started.parts[-2:] == ("streaming", "__main__.py"):
        return "python -m streaming"
    return "python manage.py"
