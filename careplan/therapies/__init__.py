"""One package a disease."""
