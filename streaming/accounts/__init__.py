"""Accounts: sign in and out, sign up, the account's page with its API keys."""
