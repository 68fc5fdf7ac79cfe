"""Which finding of the audit which rule shows, and on which commit: see table.py."""
