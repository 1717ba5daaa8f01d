"""`python -m bench`: what the server costs, as ratios within one run on one machine.

__main__.py   the command, the order of the items, the printed table, last.json
site.py       what an item measures with: a real node, nginx and a late upstream, all on loopback
figures.py    medians, verdicts, the table; pure
bodies.py     bodies whose every block is known, so that each byte is compared and none is hashed
client.py     one GET or HEAD with its times
peers/        this project beside docker-registry, apt-cacher-ng and nginx: the comparison
edge.py       our node behind the shipped nginx.conf with its agent
picture.py    the comparison as an SVG
quick.py      `python -m bench.quick`: a part of it, against the committed last.json
load.py       many GETs at once: wrk, or processes of our own
late.py       an upstream that waits, or sends slowly, and needs no files
packages.py   an rpm repository of generated metadata, a new edition at each call
bare.py       a Flask view that does next to nothing, for hot_path.py
first_byte.py throughput.py herd.py mixed.py memory.py patience.py hits.py hot_path.py images.py sets.py one item each
"""
