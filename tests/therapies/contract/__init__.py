"""Three therapies that differ from the shipped ones in nearly everything: what the contract must be able to say."""
