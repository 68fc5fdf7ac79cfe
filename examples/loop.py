"""foreach on AWS emulated on this machine, as doLambda's README has it.

Run it with: python examples/loop.py.
"""

import dolambda
from dolambda import dopar, foreach

if __name__ == "__main__":
    with dolambda.register("local"):
        b = 12
        print(foreach(i=range(1, 11)) % dopar % (lambda i: i * 3 * b))
        print(foreach(i=range(1, 11), combine="+").dopar(lambda i: i * 3 * b))
