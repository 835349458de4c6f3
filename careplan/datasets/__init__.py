"""Data sets that research publishes: one reader a set."""
