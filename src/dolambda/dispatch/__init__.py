"""Tasks to jobs to outcomes. Decides what is sent, how often and until when; knows no transport from within.

run.py        one run: its lock, its thread; send, take replies in, settle futures, clean up
intake.py     calls pickled at once, in the order of submission
board.py      what waits, what is under way, what is to be sent next
flight.py     the states of a task between submitted and settled; jobs cut from the queue
agenda.py     when something is to happen of itself: a flight overdue, a failed task to be run again
stragglers.py when a slow job gets a copy
batching.py   how many tasks go into the next job, learnt from what workers measured
retries.py    when a failed task is run again
limits.py     what a run keeps to
budget.py     what it may cost, reserved before a job is sent
pilot.py      its first few tasks, and what the rest would take
futures.py    completed whatever their users do with them
stored.py     what an earlier client of a named run has left
relay.py      what tasks print and log, shown here
report.py     what a run has done so far and what it took
"""
