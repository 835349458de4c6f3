"""Glooko's export."""
