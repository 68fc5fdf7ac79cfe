"""AWS emulated on this machine: start, deploy, stop.

place.py       the directories of instances, their checks, and their clean-up
instance.py    an emulated AWS, as the client sees it: starting, finding, stopping
cache.py       data that sessions share: packages laid out for workers, the emulator's environment
packages.py    the installed packages, laid out in the cache
failures.py    hints for a failed start
guardian.py    the process that owns an instance: it makes the environment, runs the emulator, and
               removes every trace at the end
emulator/      ministack, adapted, behind a gateway; runs in that environment
watch.py       a periodic check whether an instance still runs
status.py      a line on a terminal that shows the current step
stack.py       a stack deployed into it, with a user who can submit and nothing more
"""
