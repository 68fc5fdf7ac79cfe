"""The parts of the user's environment that workers need.

**Input:** requirements and modules. **Output:** zips, named by content.

archive.py        zips that are the same, byte for byte, whenever and wherever they are made
worker_zip.py     the function's own code: dolambda's worker side and cloudpickle
requirements.py   the packages of the layer, pinned to what is installed locally
layer.py          requirements -> wheels for the Lambda platform (uv; no Docker) -> layers, and a
                  bundle for the rest
code.py           the user's own modules -> the code archive, one zip that travels with the jobs
module_search.py  ... the place of a module, and whether it is the user's own
package_files.py  ... the files of a package that travel
own_modules.py    the moments at which that archive is made again
r_layers.py       R and R packages -> layers, of Debian's binary packages
debian.py         ... for any architecture, by apt with directories of its own
elf.py            ... with the shared libraries that they need
"""
