"""Tasks to jobs to outcomes. Decides what is sent, how often and until when; knows no transport from within.

run.py        one run: cut tasks into jobs, keep a window in flight, resend the lost, settle futures, clean up
batching.py   how many tasks go into the next job, learnt from what workers measured
report.py     what a run has done so far and what it took
"""
