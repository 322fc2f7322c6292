"""Accounts: sign in and out, sign up, the account's page with its API keys.

It knows no sockets and no queue: who somebody is, is in `identity`.
"""
