"""Where models come from and how they are loaded: directories, GGUF files, packages, the hub; adapters."""
