"""What can be measured answering the same prompts: our server, our engine, and peers."""
