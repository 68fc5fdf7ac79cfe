"""From calls to outcomes: when jobs are sent, and what happens to lost ones.

submission   calls to chunks           state     the machine: events in, actions out
jobs         the queue, jobs           run       its driver: clock, lock, threads, requests
timers, ledger, batching, job_sizes, stragglers, retries, pilot     the machine's decisions
results      receivers of outcomes     report    the counts so far
"""
