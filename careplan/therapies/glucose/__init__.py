"""Insulin-treated diabetes: glucose, insulin, meals and activity."""
