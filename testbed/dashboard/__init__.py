"""The live page of a lab: follows run directories, and shows what is in them. Only reads, and only files."""
