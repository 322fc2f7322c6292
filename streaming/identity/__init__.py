"""Who somebody is: the owner of a response, visitors' ids, API keys.

It knows no pages: signing in and up is in `accounts`.
"""
