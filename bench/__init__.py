"""`python -m bench`: what the server costs, as ratios within one run on one machine.

__main__.py   the command, the order of the items, the printed table, last.json
site.py       what an item measures with: a real node, nginx and a late upstream, all on loopback
figures.py    medians, verdicts, the table; pure
bodies.py     bodies whose every block is known, so that each byte is compared and none is hashed
client.py     one GET or HEAD with its times
load.py       many GETs at once: wrk, or processes of our own
late.py       an upstream that waits, or sends slowly, and needs no files
packages.py   an rpm repository of generated metadata, a new edition at each call
first_byte.py throughput.py herd.py mixed.py memory.py patience.py hits.py images.py sets.py      one item each
"""
