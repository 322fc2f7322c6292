"""ChatStream as a Django app, reusable in any project. The rooms inside say what they are for."""
