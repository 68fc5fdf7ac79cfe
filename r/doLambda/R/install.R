# The Python side: where it is, and how it gets there.

python_home <- function() file.path(tools::R_user_dir("doLambda", "data"), "python")

# The Python that has dolambda: as given, by option or variable, as installed here, or the first on the path.
find_python <- function(python = NULL) {
  own <- file.path(python_home(), "bin", "python")
  given <- c(python, getOption("doLambda.python"), Sys.getenv("DOLAMBDA_PYTHON"), if (file.exists(own)) own)
  given <- given[nzchar(given)]
  if (length(given)) return(given[[1L]])
  found <- Sys.which(c("python3", "python"))
  found <- found[nzchar(found)]
  if (!length(found)) lambda_stop("there is no Python on this machine", "Install Python 3.11 or later, then run install_dolambda().", "bridgeError")
  found[[1L]]
}

has_dolambda <- function(python) {
  code <- "import importlib.util as u, sys; sys.exit(0 if u.find_spec('dolambda') else 1)"
  status <- suppressWarnings(system2("env", c("-u", "LD_LIBRARY_PATH", "-u", "R_HOME", shQuote(python), "-P", "-c", shQuote(code)),
    stdout = FALSE, stderr = FALSE))
  identical(status, 0L)
}

doLambdaInstalled <- function(python = NULL)
  tryCatch(has_dolambda(find_python(python)), doLambdaError = function(e) FALSE)

install_dolambda <- function(source = "dolambda", python = NULL,
    directory = file.path(tools::R_user_dir("doLambda", "data"), "python")) {
  run <- function(...) {
    status <- system2("env", c("-u", "LD_LIBRARY_PATH", "-u", "R_HOME", shQuote(c(...))))
    if (status != 0L) lambda_stop(sprintf("%s failed with exit code %d", paste(c(...)[1:2], collapse = " "), status),
      "What it printed is above. Python 3.11 or later is needed.", "bridgeError")
  }
  # pip takes a word for a name, also of a directory that is there, and knows no "~".
  if (grepl("[.](whl|tar[.]gz)$", source) || file.exists(file.path(source, "pyproject.toml"))) source <- normalizePath(source)
  dir.create(dirname(directory), recursive = TRUE, showWarnings = FALSE)
  program <- file.path(directory, "bin", "python")
  uv <- Sys.which("uv")
  if (nzchar(uv)) {
    run(uv, "venv", "--quiet", "--allow-existing", "--python", if (is.null(python)) ">=3.11" else python, directory)
    run(uv, "pip", "install", "--quiet", "--upgrade", "--python", program, source)
  } else {
    if (is.null(python)) python <- Sys.which("python3")
    if (!nzchar(python)) lambda_stop("there is no python3 on this machine", "Install Python 3.11 or later.", "bridgeError")
    run(python, "-m", "venv", directory)
    run(program, "-m", "pip", "install", "--quiet", "--upgrade", source)
  }
  message("dolambda is installed in ", directory)
  invisible(program)
}
