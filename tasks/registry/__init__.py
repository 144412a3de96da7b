"""Releases and what is known of them: records, comparison, approval, forced blessings."""
