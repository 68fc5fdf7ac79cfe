"""From calls to outcomes: what is sent when, and what becomes of what is lost.

submission   calls to chunks           state     the machine: events in, actions out
jobs         the queue, jobs           run       its driver: clock, lock, threads, requests
timers, ledger, batching, stragglers, retries, pilot     what the machine decides by
results      who gets the outcomes     report    what has been done so far
"""
