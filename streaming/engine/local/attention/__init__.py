"""Attention over the slot cache, and the cache itself.

Knows no model: what a layer's weights are is `forward`'s.
"""
