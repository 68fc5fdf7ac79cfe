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
  list(run = run[names(run) != "max_size"], max_size = max_size)
}

loop_state <- function(it, obj, expr) {
  state <- new.env(parent = emptyenv())
  handling <- error_handling(obj)
  state$it <- it
  state$expr <- expr
  state$accumulate <- makeAccum(it)
  state$exhausted <- FALSE
  state$arrived <- 0L
  # Where every level stops at an error, tasks after the first failed one need not run. Where some
  # do, results are accumulated in order, so that the first error by number is the one that counts.
  state$early <- all(handling == "stop")
  state$ordered <- any(handling == "stop") && !state$early
  state$held <- list()
  state$following <- 1L
  state$before_error <- 0L
  state$first_error <- Inf
  state$seen <- logical()
  state
}

error_handling <- function(obj) {
  if (inherits(obj, "xforeach")) c(error_handling(obj$e1), error_handling(obj$e2))
  else if (inherits(obj, "filteredforeach")) error_handling(obj$e1)
  else obj$errorHandling
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
  for (k in seq_along(arrived$tasks)) {
    result <- arrived$results[[k]]
    if (length(result[[2L]])) show_warnings(arrived$tasks[[k]], result[[2L]])
    if (length(result) > 3L && result[[4L]]) fail_whole(state, arrived$tasks[[k]], result)
  }
  if (state$early) note_errors(loop, state, arrived)
  values <- lapply(arrived$results, `[[`, 1L)
  if (state$first_error < Inf) return(invisible())
  if (state$ordered) {
    state$held[as.character(arrived$tasks)] <- lapply(values, list)
    while (!is.null(value <- state$held[[as.character(state$following)]])) {
      combine(state, value, state$following)
      state$held[[as.character(state$following)]] <- NULL
      state$following <- state$following + 1L
    }
  } else combine(state, values, arrived$tasks)
}

# Combine results one by one: an error in the combine function costs one result, as in foreach.
combine <- function(state, values, tasks) {
  k <- 0L
  one <- list(NULL)
  while (k < length(tasks))
    tryCatch(
      while (k < length(tasks)) {
        k <- k + 1L
        one[1L] <- values[k]
        state$accumulate(one, tasks[[k]])
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
