"""Version of dolambda, from the installed package's metadata. A worker has a file with it."""

from importlib import metadata

try:
    VERSION = metadata.version("dolambda")
except metadata.PackageNotFoundError:
    VERSION = "0"
