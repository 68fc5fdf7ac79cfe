"""What it costs. On entry: reports; on leaving: dollars, by list price.

prices.py   list prices, as data with a date and a source
bill.py     what a report would be billed
quote.py    what the rest of a run would cost, shown
"""
