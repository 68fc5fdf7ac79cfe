"""AWS emulated on this machine: start, deploy into it, stop.

instance.py    an emulated AWS, seen from the client: where its directory is, starting, stopping, sweeping up
guardian.py    the process that owns one: makes its environment, runs it, and removes every trace when it is to end
launcher.py    ministack, adapted so that workers run under Lambda's real runtime client; runs in that environment
stack.py       a stack deployed into it, with a user who may submit and no more
"""
