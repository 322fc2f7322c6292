"""Chat templates: which one a model is served with, what it does, and what its answers look like.

Know no tensors and no weights.
"""
