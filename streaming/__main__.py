"""`chatstream COMMAND`, or `python -m streaming COMMAND`: `manage.py` for an installed app."""

import os
import sys

from streaming.system.command_line import program


def main() -> None:
    """Run a management command, with the settings of `chatsite` unless others are named."""
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
    try:
        execute_from_command_line([program(), *sys.argv[1:]])
    except ImproperlyConfigured as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
