"""The first hour on an account: steps in order, what they cost, and a report to send."""
