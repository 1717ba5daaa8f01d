"""Ten minutes of steady load on a fleet while everything it depends on is stopped, killed and started again."""
