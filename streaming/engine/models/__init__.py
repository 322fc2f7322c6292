"""Models as files: found, downloaded, converted, described, and whether they can be served.

Know no forward pass and no cache.
"""
