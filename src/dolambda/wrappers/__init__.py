"""Function wrappers that travel: a worker calls them in the place of the user's function.

initializer    an executor's initializer runs first, once in each process
packages       packages are imported first, for ``packages=`` of a loop
seeding        each task has its own random stream
"""
