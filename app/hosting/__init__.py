"""Local repositories: how a file becomes visible, and how it goes."""
