"""What is looked for in texts: words, private data, secrets."""
