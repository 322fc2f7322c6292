"""The forward pass: our own for models built like Llama, transformers' for all others.

Knows no responses and no prompts, only rows and tokens.
"""
