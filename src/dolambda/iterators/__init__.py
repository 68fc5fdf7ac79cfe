"""The parts of R's iterators and itertools packages that Python's itertools lack.

**Input:** a sequence, an array, a data frame, a file, a number or another iterable. **Output:** an
iterator over its parts, in R's order and of R's sizes.

All are lazy: arguments are checked when the function is called, but a part is made only when it is
requested, so sources may be endless. Positions and axes count from 0. Parts of arrays are views of
them, except those of `isplit`. R copies.

Arrays are objects that have a ``shape`` and can be sliced (of numpy, sparse ones of scipy). Data
frames also have ``iloc`` (of pandas). This module imports neither, except in `iread_table`. ::

    R                                        Python
    icountn, idiv, iapply, isplit, irep      the same
    isplitIndices, isplitVector              isplit_indices, isplit_vector
    isplitRows, isplitCols                   isplit_rows, isplit_cols
    iter(x, by="row", "column", "cell")      by_row(x), by_column(x), by_cell(x)
    ichunk                                   ichunk; itertools.batched (Python 3.12) yields tuples
    ireadLines, iread.table                  iread_lines, iread_table
    irecord, ireplay                         the same
    ihasNext, hasNext(it)                    Peekable, it.has_next()
    irnorm, irunif, irbinom, isample ...     irandom(rng.normal, n), irandom(rng.choice, n, a=...)
    icount(n), icount()                      range(n), itertools.count()
    iter(f), of no or of one parameter       iter(f, object()), map(f, itertools.count())
    iter(x, recycle=TRUE), recycle(x)        itertools.cycle(x)
    recycle(x, times)                        irep(x, times=times)
    iter(x, checkFunc=f), ifilter(f, x)      filter(f, x)
    ifilterfalse(f, x)                       itertools.filterfalse(f, x)
    ilimit(x, n)                             itertools.islice(x, n)
    ibreak(x, f), timeout(x, seconds)        itertools.takewhile(lambda _: not f(), x)
    chain, product                           itertools.chain, itertools.product: the same orders
    enumerate, izip                          enumerate, zip
    irepeat(value, times)                    itertools.repeat(value, times)
    iRNGStream(seed)                         map(numpy.random.default_rng, children), with children
                                             = numpy.random.SeedSequence(seed).spawn(n)
"""

from __future__ import annotations

from dolambda.iterators.arrays import by_cell, by_column, by_row, iapply, isplit_cols, isplit_rows
from dolambda.iterators.counting import icountn, idiv, irandom, isplit_indices
from dolambda.iterators.files import iread_lines, iread_table, irecord, ireplay
from dolambda.iterators.groups import Group, isplit
from dolambda.iterators.sequences import Peekable, ichunk, irep, isplit_vector

__all__ = [
    "Group",
    "Peekable",
    "by_cell",
    "by_column",
    "by_row",
    "iapply",
    "ichunk",
    "icountn",
    "idiv",
    "irandom",
    "iread_lines",
    "iread_table",
    "irecord",
    "irep",
    "ireplay",
    "isplit",
    "isplit_cols",
    "isplit_indices",
    "isplit_rows",
    "isplit_vector",
]
