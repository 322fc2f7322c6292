"""From a model's files to one that runs: what it needs, its weights, what is kept of it.

Knows no responses.
"""
