"""The commands of `manage.py`, by Django's name for their place."""
