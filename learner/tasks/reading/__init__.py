"""Where examples come from: files of several forms, directories, the hub."""
