"""Engines: what turns a prompt into tokens. Nothing in here knows Django or Channels."""
