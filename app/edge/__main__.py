"""`python -m app.edge`: the same as `artifactapi edge`, without what else a server is made of."""

from app.edge.command import edge

edge()
