# The bridge: our Python process, which is a client of dolambda.

START_WITHIN <- 60      # seconds until the bridge's Python answers
TELL_AFTER <- 8         # ... after which the user is told what takes so long
REGISTER_WITHIN <- 600  # ... until a session is open: the emulated AWS may have to be installed first

# Start a bridge and open a session. `fields` is what registerDoLambda was given.
start_bridge <- function(python, fields) {
  bridge <- new.env(parent = emptyenv())
  bridge$pid <- Sys.getpid()
  bridge$token <- ""
  bridge$loops <- 0L
  bridge$inbox <- list()
  bridge$directory <- tempfile("dolambda-")
  dir.create(bridge$directory, mode = "0700")
  # The sweep at R's end may come after the socket's: close it while the session is still whole.
  reg.finalizer(bridge, end_bridge, onexit = TRUE)
  ready <- FALSE
  on.exit(if (!ready) end_bridge(bridge))
  launch(python, bridge$directory)
  bridge$con <- connect(bridge$directory, python)
  send_frame(bridge, KIND$REGISTER, 0L, from_fields(fields))
  bridge$facts <- await_ready(bridge)
  # What names this R session to the workers: it must not touch the user's random numbers.
  bridge$session <- basename(bridge$directory)
  ready <- TRUE
  bridge
}

# R's own library path would make Python's ssl fail; -P: nothing is imported from the working directory.
launch <- function(python, directory) {
  quoted <- shQuote(c(python, directory))
  command <- sprintf(
    "{ env -u LD_LIBRARY_PATH -u R_HOME -u R_LIBS %s -P -m dolambda.r %s; echo $? > %s; } > %s 2>&1 < /dev/null",
    quoted[[1L]], quoted[[2L]], shQuote(file.path(directory, "ended")), shQuote(file.path(directory, "log")))
  system(command, wait = FALSE)
}

# Connect to the bridge, and trust it once it has sent its token.
connect <- function(directory, python) {
  address <- file.path(directory, "address")
  deadline <- proc.time()[[3L]] + START_WITHIN
  while (!file.exists(address)) {
    if (file.exists(file.path(directory, "ended")) || proc.time()[[3L]] > deadline)
      start_failed(directory, python)
    Sys.sleep(0.02)
  }
  lines <- readLines(address)
  con <- socketConnection(
    "127.0.0.1", as.integer(lines[[1L]]), open = "a+b", blocking = TRUE, timeout = SILENCE)
  trusted <- FALSE
  on.exit(if (!trusted) close(con))
  writeChar(lines[[2L]], con, eos = NULL)
  token <- readBin(con, "raw", nchar(lines[[3L]]))
  if (!identical(token, charToRaw(lines[[3L]])))
    lambda_stop("what listens where the bridge should is another program", "Register again.", "bridgeError")
  trusted <- TRUE
  con
}

start_failed <- function(directory, python) {
  if (nzchar(Sys.getenv("AWS_LAMBDA_FUNCTION_NAME")))
    lambda_stop("doLambda was registered in a task, but workers have no client of dolambda",
      "Loops within a task run one after another. Nest them outside with %:%.", "bridgeError")
  log <- file.path(directory, "log")
  said <- if (file.exists(log)) utils::tail(readLines(log, warn = FALSE), 5L) else character()
  missing <- any(grepl("No module named .?dolambda|not found|No such file|[Uu]nknown option", said))
  lambda_stop(
    paste0("the bridge to Lambda did not start with ", python, ":\n    ", paste(said, collapse = "\n    ")),
    if (missing) "install_dolambda() installs what it needs. Or name a Python 3.11 or later that has dolambda: registerDoLambda(python = ...)."
    else "Does that Python run by itself? registerDoLambda(python = ...) takes another one.",
    "bridgeError")
}

# Return what the session is; raise what was wrong.
await_ready <- function(bridge) {
  begun <- proc.time()[[3L]]
  told <- FALSE
  repeat {
    frame <- receive_frame(bridge, 1)
    waited <- proc.time()[[3L]] - begun
    if (is.null(frame)) {
      if (waited > REGISTER_WITHIN)
        lambda_stop(sprintf("no session was opened within %d s", REGISTER_WITHIN), class = "bridgeError")
      if (!told && waited > TELL_AFTER)
        message("doLambda: still registering. The first time, the emulated AWS is installed, which takes up to a minute.")
      told <- told || waited > TELL_AFTER
      next
    }
    if (frame$kind == KIND$NOTICE) message(as_texts(frame$data))
    if (frame$kind == KIND$READY) return(as_fields(frame$data))
    if (frame$kind == KIND$ERROR) raise_error(frame)
  }
}

raise_error <- function(frame) {
  texts <- as_texts(frame$data)
  lambda_stop(texts[[2L]], if (length(texts) > 2L) texts[[3L]] else "", texts[[1L]])
}

# Raise an error unless the bridge can be used by this process.
check_bridge <- function(bridge) {
  if (is.null(bridge$con))
    lambda_stop("the bridge to Lambda has been closed", "Register again: registerDoLambda().", "bridgeError")
  if (bridge$pid != Sys.getpid())
    lambda_stop("this process is a fork of the one that registered doLambda",
      "Use %dopar% in the R session itself, not within mclapply().", "bridgeError")
}

bridge_ended <- function(bridge) {
  end_bridge(bridge)
  lambda_stop("the bridge to Lambda has ended", "Register again: registerDoLambda().", "bridgeError")
}

# Close the connection: the bridge ends with it, and cancels what still runs.
end_bridge <- function(bridge) {
  con <- bridge$con
  bridge$con <- NULL
  if (bridge$pid != Sys.getpid()) return(invisible())
  if (!is.null(con)) tryCatch(close(con), error = function(e) NULL)
  else unlink(bridge$directory, recursive = TRUE)
  invisible()
}
