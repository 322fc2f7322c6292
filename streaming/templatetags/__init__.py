"""Template tags, by Django's name for their place.

Know no more than `pages`.
"""
