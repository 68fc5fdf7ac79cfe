"""R's foreach in Python: ``foreach(i=range(10), combine="+") %dopar% f``.

loop.py       the construct: loops, operators, nesting
walk.py       nested loops as one stream of tasks, and their results as one value
combine.py    results to one value
function.py   the loop variables that a function takes, and the names it sees
backends.py   where loops run: locally, on Lambda, on a joblib backend
chosen_backend.py   the backend of ``%dopar%``
"""

from dolambda.loops.backends import Backend
from dolambda.loops.chosen_backend import get_backend, set_backend
from dolambda.loops.loop import Foreach, foreach, times
from dolambda.loops.operators import Operator, When, do, dopar, when

__all__ = [
    "Backend",
    "Foreach",
    "Operator",
    "When",
    "do",
    "dopar",
    "foreach",
    "get_backend",
    "set_backend",
    "times",
    "when",
]
