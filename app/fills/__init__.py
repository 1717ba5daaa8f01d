"""Downloads in progress: their shared state, their files, and the process that owns them."""
