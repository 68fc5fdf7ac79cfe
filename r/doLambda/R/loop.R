# A loop: a run of its own on the bridge. foreach's loops and clusters use it.

BATCH <- 2000L           # tasks of one frame at most
BATCH_BYTES <- 2^20
BATCH_SECONDS <- 0.05   # a slow iterator's tasks do not wait for one another
AHEAD <- 5000L          # tasks that may be ahead of the results: an iterator may have no end
AHEAD_BYTES <- 2^28
CANCEL_WITHIN <- 30

open_loop <- function(bridge, options) {
  loop <- new.env(parent = emptyenv())
  loop$bridge <- bridge
  loop$number <- bridge$loops <- bridge$loops + 1L
  loop$parts <- 0L
  loop$functions <- 0L
  loop$sent <- 0L
  loop$bytes <- 0
  loop$open <- TRUE
  bridge$inbox[[as.character(loop$number)]] <- list()
  whose <- list(session = bridge$session, home = R.home())
  send_frame(bridge, KIND$LOOP, loop$number, from_fields(c(whose, options)))
  loop
}

# Send bytes that tasks share; return their number.
send_part <- function(loop, data) {
  send_frame(loop$bridge, KIND$PART, loop$number, data)
  loop$parts <- loop$parts + 1L
  loop$parts - 1L
}

# Make a function of parts that were sent; return its number.
send_function <- function(loop, parts) {
  send_frame(loop$bridge, KIND$FUNCTION, loop$number, int_bytes(parts))
  loop$functions <- loop$functions + 1L
  loop$functions - 1L
}

# Send tasks, each the serialized list of its arguments.
send_tasks <- function(loop, fun, payloads) {
  lengths <- lengths(payloads)
  head <- c(int_bytes(c(fun, length(payloads))), double_bytes(lengths))
  body <- if (sum(lengths) < SMALL * length(payloads)) list(unlist(payloads, use.names = FALSE)) else payloads
  do.call(send_frame, c(list(loop$bridge, KIND$TASKS, loop$number, head), body))
  loop$sent <- loop$sent + length(payloads)
  loop$bytes <- loop$bytes + sum(lengths)
}

send_skip <- function(loop, last)
  send_frame(loop$bridge, KIND$SKIP, loop$number, int_bytes(last))

# Return results as they come: for each task its number, and the list that the worker's R returned, or
# one of a condition when the task is lost. NULL when nothing came within `wait` seconds.
receive_results <- function(loop, show, wait = SILENCE) {
  repeat {
    frame <- next_frame(loop$bridge, loop$number, wait)
    if (is.null(frame)) return(NULL)
    switch(as.character(frame$kind),
      "103" = return(results_of(frame$data)),
      "102" = {
        loop$open <- FALSE
        raise_error(frame)
      },
      "104" = show$output(as_texts(frame$data)),
      "105" = show$progress(as_fields(frame$data)))
  }
}

results_of <- function(pieces) {
  numbers <- matrix(as_ints(as.vector(matrix(pieces[[2L]], 16L)[1:8, ])), 2L)
  results <- vector("list", ncol(numbers))
  for (k in seq_along(results)) {
    part <- pieces[[k + 2L]]
    results[[k]] <- if (numbers[2L, k] == 0L) unserialize(part) else lost(part, numbers[2L, k] == 2L)
  }
  list(tasks = numbers[1L, ], results = results)
}

# The result of a task that is lost, as a worker's R would return an error.
lost <- function(data, fatal) {
  texts <- c(as_texts(data), "", "", "")
  list(lambda_condition(texts[[1L]], texts[[2L]], texts[[3L]]), list(), character(), fatal)
}

# End a loop whose tasks are all done.
close_loop <- function(loop) {
  loop$open <- FALSE
  loop$bridge$inbox[[as.character(loop$number)]] <- NULL
  send_frame(loop$bridge, KIND$CLOSE, loop$number)
}

# Cancel a loop that is left early: by an error, or by an interrupt.
cancel_loop <- function(loop) {
  if (!loop$open || is.null(loop$bridge$con)) return(invisible())
  loop$open <- FALSE
  send_frame(loop$bridge, KIND$CANCEL, loop$number)
  deadline <- proc.time()[[3L]] + CANCEL_WITHIN
  while (proc.time()[[3L]] < deadline) {
    frame <- next_frame(loop$bridge, loop$number, 1)
    if (!is.null(frame) && frame$kind == KIND$CANCELLED) break
  }
  loop$bridge$inbox[[as.character(loop$number)]] <- NULL
  invisible()
}
