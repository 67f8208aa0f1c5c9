"""Where models come from: GGUF files, packages, and the cache of what was made of them."""
