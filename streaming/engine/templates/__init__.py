"""Chat templates: which one a model is served with, what it does, and how an answer is taken apart.

Know no tensors and no weights.
"""
