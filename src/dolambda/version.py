"""Version of dolambda, from the installed package's metadata or, on a worker, from its zip."""

from importlib import metadata

try:
    VERSION = metadata.version("dolambda")
except metadata.PackageNotFoundError:
    VERSION = "0"
