"""What the user's code needs to run elsewhere.

On entry: requirements, modules; on leaving: zips, named by content.

archive.py        zips that are the same, byte for byte, whenever and wherever they are made
worker_zip.py     the function's own code: dolambda's worker side and cloudpickle
requirements.py   what the layer has to hold, pinned to what is installed here
layer.py          requirements -> wheels for the Lambda platform (uv; no Docker) -> layers, and a bundle for what they cannot hold
code.py           the user's own modules -> the code archive, one zip that travels with the jobs
module_search.py  ... where a module is, and whether it is the user's own
package_files.py  ... which files of a package travel
own_modules.py    when that archive is made again
r_layers.py       R and R packages -> layers, of Debian's binary packages
debian.py         ... for any architecture, by apt with directories of its own
elf.py            ... with the shared libraries that they need
"""
