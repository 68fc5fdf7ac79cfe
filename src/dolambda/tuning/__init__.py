"""`dolambda tune`: the first tasks of a program, measured at several memory sizes.

**Input:** a program's first run. **Output:** a `Curve`: time and cost of a task at each size.

    tuner.py     the tuner of this process, which a session asks, and the order of its work
    sampler.py   the transport of the sampled run; sends its jobs to temporary functions
    curve.py     the measures, as a table and as data
    picture.py   the same as SVG and HTML

No job is sent to the deployed function, and nothing of it is changed.
"""
