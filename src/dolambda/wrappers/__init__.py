"""Function wrappers that travel: what is called on a worker in the place of the user's function.

initializer    an executor's initializer runs first, once in each process
packages       packages are imported first, for a loop's ``packages=``
seeding        each task has its own random stream
"""
