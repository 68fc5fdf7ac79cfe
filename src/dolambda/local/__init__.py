"""AWS emulated on this machine: start, deploy into it, stop.

place.py       where the directories of instances are, what of them is believed, sweeping up
instance.py    an emulated AWS, seen from the client: starting, finding, stopping
cache.py       what sessions share: packages laid out for workers, and the emulator's own environment
packages.py    what is installed here, laid out there
failures.py    what to do when one cannot be started
guardian.py    the process that owns one: makes its environment, runs it, and removes every trace when it is to end
emulator/      ministack, adapted, behind a gateway; runs in that environment
watch.py       a look whether one still runs
status.py      a line on a terminal that says how far it is
stack.py       a stack deployed into it, with a user who may submit and no more
"""
