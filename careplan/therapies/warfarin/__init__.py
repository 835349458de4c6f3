"""Warfarin: an INR every few days or weeks, a week of tablets, and what is known of a patient before the first of either."""
