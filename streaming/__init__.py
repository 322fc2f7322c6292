"""ChatStream as a Django app, reusable in any project. The rooms inside say what they are for."""

from streaming.system.moved import tell_new_names

tell_new_names()
