"""Attention over the slot cache, and the cache itself.

Knows no model and no weights: what a layer computes before and after attention is `forward`'s.
"""
