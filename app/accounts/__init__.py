"""Accounts: who somebody is, what they may, and how that is known."""
