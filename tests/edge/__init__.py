"""The agent beside a real nginx, asking a node that the test plays."""
