"""GGUF files: header, configuration, tokenizer and tensors, as transformers names them.

Know neither how a file was found nor what runs the model.
"""
