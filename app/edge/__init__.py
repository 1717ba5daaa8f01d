"""The agent beside an nginx that caches (`artifactapi edge`): it knows that nginx's files and log, and holds the
lease with which nginx serves what it keeps (app/stores/edges.py). It is one thread, so no part outlives another:

    round, four times a second        agent.py; what it has acknowledged: cursor.py
      look at the cache's directories   files.py, over index.py; what is in a file's head: entry.py
      ask a node for news               node.py
      drop what they end                purges.py, files.py
      hold the lease                    lease.py
      read nginx's log                  log.py, lines.py
      report hits, write the state      hits.py, state.py
"""
