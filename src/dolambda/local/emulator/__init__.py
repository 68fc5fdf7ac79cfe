"""The emulator's own process: ministack, adapted, behind a gateway.

launcher.py    starts ministack so that functions run as on Lambda
gateway.py     the one way in: who may ask what; takes the rules of tests
layers.py      a function's layers and bundle, as the worker finds them
sandbox.py     a worker's sandbox, as Lambda has it; for tests
sigv4.py       checks a request's signature
entries.py     directories of the cache that sessions share; the client and the guardian use it too
peers.py       tells this user's connections from those of others

It runs in an environment of its own, without dolambda: this package is imported there as
``emulator``. So it imports nothing but itself, ministack and the standard library.
"""
