"""The seams of storage and what is behind them."""
