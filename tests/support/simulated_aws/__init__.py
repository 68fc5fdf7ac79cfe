"""S3 and Lambda at scale, simulated by one process: the protocols are spoken over HTTP, the fleet
of workers is imagined.

behaviour.py   what AWS does, as numbers: latencies, starts, limits, faults
http.py        HTTP/1.1, as much of it as the clients here speak
store.py       S3: objects, conditional writes, lists, notifications
fleet.py       Lambda: environments that start cold and are warm afterwards, limits, the queue of
               asynchronous events
timeline.py    its clock where durations are divided by a factor
functions.py   what runs there: dolambda's own worker, in no time but for what tasks sleep
server.py      the process
simulation.py  the other side: start it, open a session on it, read what it has seen

The workers' work is done for real, one after the other, in this process; `time.sleep` takes no time
there, and what was slept delays the answer. So ten thousand workers that wait fit on one core, and
tasks that compute do not.
"""
