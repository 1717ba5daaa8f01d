"""The JSON API: people, their tokens and projects, repositories and what is in them; all of it in /openapi.json.

shapes.py        what the JSON is made of
may.py           who may: asked before anything that was sent is read
auth.py          login and the like         tokens.py, users.py, projects.py    accounts
repositories.py  what there is to read      entries.py   what is in it
artifacts.py     what is stored anywhere     prefetch.py, tasks.py   what is fetched ahead of clients
audit.py         who changed what           statistics.py
"""
