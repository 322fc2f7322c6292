"""Reads what a model writes, token by token: thoughts, text, and where an answer begins and ends.

Knows no tensors but a tokenizer's.
"""
