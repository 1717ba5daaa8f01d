"""What this machine's own package clients are configured for, as a remotes.json.

found.py      the nouns: an address that a client has, and what was read
machine.py    the one place that reads files and runs commands
python.py, node.py, debian.py, redhat.py, alpine.py, containers.py, rust.py, golang.py, java.py, charts.py
              the configuration of one family of clients each: text -> addresses (pure)
places.py     where the environment says that they are, else where they usually are
readers.py    which file is read by which of them
document.py   addresses -> remotes.json
"""
