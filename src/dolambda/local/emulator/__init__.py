"""The emulator's own process: ministack, adapted, behind a gateway.

launcher.py    starts ministack so that functions run as on Lambda
gateway.py     the only entrance: it authenticates requests, and applies the rules of tests
layers.py      a function's layers and bundle, as the worker finds them
sandbox.py     a worker's sandbox, as on Lambda; for tests
sigv4.py       the check of a request's signature
entries.py     directories of the cache that sessions share; client and guardian use it too
peers.py       separates this user's connections from those of others

It runs in an environment of its own, without dolambda, and is imported there as ``emulator``. So it
imports only itself, ministack and the standard library.
"""
