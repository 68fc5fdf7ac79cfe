"""Costs: reports to dollars, by list price.

prices.py   list prices, as data with a date and a source
bill.py     the bill of a report
quote.py    the expected costs of the rest of a run, shown to the user
"""
