"""Makes tokens of messages: templates, trimming, and text that cannot forge a token.

Knows no cache and no forward pass.
"""
