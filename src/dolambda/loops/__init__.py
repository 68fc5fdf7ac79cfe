"""R's foreach in Python: ``foreach(i=range(10), combine="+") %dopar% f``.

loop.py      the construct: iterables, operators, errors
combine.py   results, as they arrive, to one value
backends.py  what ``%dopar%`` runs on
"""

from dolambda.loops.backends import Backend, get_backend
from dolambda.loops.loop import Foreach, Operator, do, dopar, foreach

__all__ = ["Backend", "Foreach", "Operator", "do", "dopar", "foreach", "get_backend"]
