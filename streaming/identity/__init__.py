"""Who somebody is: accounts, visitors' ids, API keys, and the owner of a place.

Knows no pages: signing in and up is in `accounts`.
"""
