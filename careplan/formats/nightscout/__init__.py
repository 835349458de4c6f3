"""Nightscout: a site's documents, from files or from the site."""
