"""This project beside other proxies and the limit of the machine: the same work on each in turn, within one run.

product.py    what a product is to the bench: addresses, processes, how it starts
install.py    what apt has of them, and what is missing
plain.py registry.py acng.py ours.py      one product each
stock.py      what all of them serve
asking.py     the clients: wrk, curl; what they say
small.py large.py cold.py pulls.py costs.py      the work
rounds.py     who works when: interleaved, the order rotated; samples become figures
wanted.py     issue 5's table: which ratios are wanted
"""
