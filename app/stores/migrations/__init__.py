"""The schema's history, applied at start: expand only, so that the version before keeps serving.

migrations/
  env.py                what alembic runs to apply them
  versions/0001_...     one file a step, plain SQL; add a step, never change one
"""
