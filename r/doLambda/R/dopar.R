# %dopar% on Lambda.

# What foreach calls. Results are combined as they come, in foreach's own way.
do_lambda <- function(obj, expr, envir, data) {
  if (!inherits(obj, "foreach")) stop("obj must be a foreach object")
  options <- loop_options(obj, data)
  it <- iter(obj)
  shared <- shared_of(expr, envir, obj, options$max_size, data)
  show <- display(data$logs, options$run$progress)
  loop <- open_loop(data$bridge, options$run)
  on.exit({
    show$end()
    cancel_loop(loop)
  })
  parts <- vapply(shared$parts, function(part) send_part(loop, part), 1L)
  fun <- send_function(loop, parts)
  state <- loop_state(it, obj, expr)
  repeat {
    more <- !state$exhausted && state$first_error == Inf && has_room(loop, state)
    if (more) {
      batch <- next_batch(state)
      if (length(batch)) send_tasks(loop, fun, batch)
    }
    if (!more && is_done(loop, state)) break
    arrived <- receive_results(loop, show, if (more) 0 else SILENCE)
    if (!is.null(arrived)) accept(loop, state, arrived)
  }
  if (state$first_error < Inf && loop$sent > state$arrived) cancel_loop(loop)
  else close_loop(loop)
  finish(state, it, obj, expr)
}

# The options of one loop: those of registerDoLambda, and .options.dolambda over them.
loop_options <- function(obj, data) {
  given <- obj$options$dolambda
  if (!is.null(given) && (!is.list(given) || is.null(names(given)) || !all(nzchar(names(given)))))
    lambda_stop(".options.dolambda is not a list with names", ".options.dolambda = list(task_timeout = 60)", "ConfigurationError")
  run <- utils::modifyList(data$run, as.list(given))
  max_size <- if (is.null(run$max_size)) data$max_size else run$max_size
  check_max_size(max_size)
  list(run = run[names(run) != "max_size"], max_size = max_size)
}

loop_state <- function(it, obj, expr) {
  state <- new.env(parent = emptyenv())
  handling <- of_levels(obj, function(level) level$errorHandling)
  state$it <- it
  state$expr <- expr
  state$exhausted <- FALSE
  state$arrived <- 0L
  # Where every level stops at an error, tasks after the first failed one need not run. Where some
  # do, results are accumulated in order, so that the first error by number is the one that counts.
  state$early <- all(handling == "stop")
  state$ordered <- all(of_levels(obj, function(level) level$combineInfo$in.order)) ||
    (any(handling == "stop") && !state$early)
  state$combined <- 0L
  state$held <- list()
  state$here <- logical()
  state$first_error <- Inf
  state$seen <- logical()
  state
}

# Collect something from each foreach() of nested ones.
of_levels <- function(obj, fun) {
  if (inherits(obj, "xforeach")) c(of_levels(obj$e1, fun), of_levels(obj$e2, fun))
  else if (inherits(obj, "filteredforeach")) of_levels(obj$e1, fun)
  else fun(obj)
}

has_room <- function(loop, state) {
  ahead <- loop$sent - state$arrived
  ahead < AHEAD && ahead * (loop$bytes / max(1L, loop$sent)) < AHEAD_BYTES
}

# Take some elements of the iterator; an empty list at its end.
next_batch <- function(state) {
  batch <- vector("list", BATCH)
  count <- 0L
  size <- 0
  until <- proc.time()[[3L]] + BATCH_SECONDS
  tryCatch(
    while (count < BATCH && size < BATCH_BYTES && (count %% 16L != 15L || proc.time()[[3L]] < until)) {
      payload <- serialize(nextElem(state$it), NULL, xdr = FALSE)
      count <- count + 1L
      batch[[count]] <- payload
      size <- size + length(payload)
    },
    error = function(e) {
      if (!identical(conditionMessage(e), "StopIteration"))
        stop(simpleError(conditionMessage(e), state$expr))
      state$exhausted <- TRUE
    })
  batch[seq_len(count)]
}

is_done <- function(loop, state) {
  if (state$first_error < Inf) all(state$seen[seq_len(state$first_error)])
  else state$arrived == loop$sent
}

# Take in results: show their warnings, and combine them.
accept <- function(loop, state, arrived) {
  state$arrived <- state$arrived + length(arrived$tasks)
  # A result is the value alone, or also the warnings, where an error was raised, and TRUE when no
  # task of the loop can run.
  for (k in which(lengths(arrived$results) > 1L)) {
    result <- arrived$results[[k]]
    if (length(result[[2L]])) show_warnings(arrived$tasks[[k]], result[[2L]])
    if (length(result) > 3L && result[[4L]]) fail_whole(state, arrived$tasks[[k]], result)
  }
  if (state$early) note_errors(loop, state, arrived)
  if (state$first_error < Inf) return(invisible())
  values <- lapply(arrived$results, `[[`, 1L)
  if (state$ordered) combine_in_order(state, values, arrived$tasks)
  else combine(state, values, arrived$tasks)
}

# Hold back what comes before its turn: foreach's own way with those is slow.
combine_in_order <- function(state, values, tasks) {
  at <- tasks - state$combined
  state$held[at] <- values
  state$here[at] <- TRUE
  count <- match(NA, state$here, length(state$here) + 1L) - 1L
  if (count == 0L) return(invisible())
  ready <- seq_len(count)
  values <- state$held[ready]
  tasks <- state$combined + ready
  state$held <- state$held[-ready]
  state$here <- state$here[-ready]
  state$combined <- state$combined + count
  combine(state, values, tasks)
}

# Combine results one by one: an error in the combine function costs one result, as in foreach.
combine <- function(state, values, tasks) {
  it <- state$it
  k <- 0L
  while (k < length(tasks))
    tryCatch(
      while (k < length(tasks)) {
        k <- k + 1L
        if (isTRUE(it$verbose)) cat(sprintf("got results for task %d\n", tasks[[k]]))
        accumulate(it, values[[k]], tasks[[k]])
      },
      error = function(e) {
        cat("error calling combine function:\n")
        print(e)
      })
}

# Remember the first error by number; those after it need not run.
note_errors <- function(loop, state, arrived) {
  state$seen[arrived$tasks] <- TRUE
  state$seen[is.na(state$seen)] <- FALSE
  for (k in seq_along(arrived$tasks)) {
    task <- arrived$tasks[[k]]
    if (inherits(arrived$results[[k]][[1L]], "error") && task < state$first_error) {
      state$first_error <- task
      state$failed <- arrived$results[[k]]
      send_skip(loop, task)
    }
  }
}

# What no task of the loop can do without: a package, R itself.
fail_whole <- function(state, task, result) {
  cause <- result[[1L]]
  if (inherits(cause, "doLambdaError")) stop(cause)
  stop(simpleError(sprintf("the loop could not be prepared on the worker: %s", conditionMessage(cause)), state$expr))
}

show_warnings <- function(task, warnings)
  for (one in warnings)
    warning(simpleWarning(sprintf("task %d: %s", task, conditionMessage(one)), conditionCall(one)))

finish <- function(state, it, obj, expr) {
  if (state$first_error < Inf)
    stop(task_condition(state$first_error, state$failed[[1L]], expr, state$failed[[3L]]))
  error <- getErrorValue(it)
  if (identical(obj$errorHandling, "stop") && !is.null(error))
    stop(task_condition(getErrorIndex(it), error, expr, character()))
  getResult(it)
}

# foreach's own error, with the task's number, its condition and where it was raised.
task_condition <- function(task, error, expr, trace)
  structure(
    class = c("doLambdaTaskError", "simpleError", "error", "condition"),
    list(message = sprintf("task %d failed - \"%s\"", task, conditionMessage(error)), call = expr,
      task = task, parent = error, trace = trace))
