"""What is fetched before a client asks for it: paths, what an index lists, what a lock file pins.

wanted.py        the nouns: what is wanted, and what follows from a document once it is here
rules.py         which lock file is whose, and which rule reads which document
requirements.py, package_lock.py, cargo_lock.py, go_sum.py, images.py    one kind of lock file each (pure)
listings.py      what the indexes of each package list (pure)
working.py       the fills process at work on a job
"""
