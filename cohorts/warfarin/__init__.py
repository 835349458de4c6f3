"""The virtual clinic of warfarin: people, two bodies of different equations, lives, protocols and trials."""
