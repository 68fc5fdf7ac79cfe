"""dolambda's version, from the installed package's metadata or, on a worker, from the zip that carries it."""

from importlib import metadata

try:
    VERSION = metadata.version("dolambda")
except metadata.PackageNotFoundError:
    VERSION = "0"
