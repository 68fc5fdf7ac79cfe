# registerDoLambda and what goes with it.

registered <- new.env(parent = emptyenv())

registerDoLambda <- function(bucket = NULL, key = NULL, secret = NULL, region = NULL, throttle = NULL, ...,
    stack = NULL, workers = NULL, transport = NULL, budget = NULL, retries = NULL, task_timeout = NULL,
    run = NULL, batch = NULL, progress = interactive(), logs = "relay", max_size = 500 * 2^20, token = NULL,
    profile = NULL, python = NULL) {
  settings <- lambda_settings(bucket, key, secret, region, throttle, ..., stack = stack, workers = workers,
    transport = transport, budget = budget, retries = retries, task_timeout = task_timeout, run = run,
    batch = batch, progress = progress, logs = logs, max_size = max_size, token = token, profile = profile,
    python = python)
  unregisterDoLambda()
  registered$bridge <- start_bridge(find_python(settings$python), settings$fields)
  registered$data <- loop_data(registered$bridge, settings)
  setDoPar(do_lambda, registered$data, lambda_info)
  invisible(registered$bridge$facts)
}

# Sort arguments: `fields` are what a session is opened with, `run` the options of each loop.
lambda_settings <- function(bucket = NULL, key = NULL, secret = NULL, region = NULL, throttle = NULL, ...,
    stack = NULL, workers = NULL, transport = NULL, budget = NULL, retries = NULL, task_timeout = NULL,
    run = NULL, batch = NULL, progress = FALSE, logs = "relay", max_size = 500 * 2^20, token = NULL,
    profile = NULL, python = NULL) {
  if (!identical(logs, FALSE) && !identical(logs, "relay") && !identical(logs, "errors") && !identical(logs, "live"))
    lambda_stop(sprintf("logs must be \"relay\", \"errors\", \"live\" or FALSE, got %s", deparse(logs)[[1L]]), class = "ConfigurationError")
  local <- identical(bucket, "local") || identical(stack, "local")
  fields <- list(
    where = if (local) "local" else stack, bucket = if (!identical(bucket, "local")) bucket,
    key = key, secret = secret, token = token, region = region, profile = profile,
    throttle = throttle, workers = workers, transport = transport, ...)
  if (is.null(names(fields)) || any(names(fields) == ""))
    lambda_stop("a setting in ... has no name", "registerDoLambda(memory = 3008)", "ConfigurationError")
  run <- list(
    budget = budget, retries = retries, task_timeout = task_timeout, run = run, batch = batch,
    progress = progress, logs = if (identical(logs, "live")) "live")
  run <- run[!vapply(run, is.null, TRUE)]
  if (!isTRUE(progress) && !isFALSE(progress))
    lambda_stop(sprintf("progress must be TRUE or FALSE, got %s", deparse(progress)[[1L]]), class = "ConfigurationError")
  check_max_size(max_size)
  # A wrong option is better found now than by the first loop.
  fields <- c(fields, structure(run, names = paste0("loop.", names(run))))
  list(fields = fields, run = run, logs = logs, max_size = max_size, python = python)
}

check_max_size <- function(max_size)
  if (!is.numeric(max_size) || length(max_size) != 1L || is.na(max_size) || max_size <= 0)
    lambda_stop(sprintf("max_size must be a number of bytes, got %s", deparse(max_size)[[1L]]), class = "ConfigurationError")

# What do_lambda gets with each loop.
loop_data <- function(bridge, settings)
  list(bridge = bridge, logs = settings$logs, max_size = settings$max_size, run = settings$run)

lambda_info <- function(data, item)
  switch(item,
    workers = as.integer(data$bridge$facts$workers),
    name = "doLambda",
    version = as.character(utils::packageVersion("doLambda")))

unregisterDoLambda <- function() {
  bridge <- registered$bridge
  if (is.null(bridge)) return(invisible(FALSE))
  registered$bridge <- registered$data <- NULL
  if (identical(foreach::getDoParName(), "doLambda")) registerDoSEQ()
  end_bridge(bridge)
  invisible(TRUE)
}

doLambdaReport <- function() {
  bridge <- registered$bridge
  if (is.null(bridge)) lambda_stop("nothing is registered", "Register first: registerDoLambda().")
  bridge$loops <- bridge$loops + 1L
  send_frame(bridge, KIND$REPORT, bridge$loops)
  bridge$inbox[[as.character(bridge$loops)]] <- list()
  frame <- next_frame(bridge, bridge$loops)
  bridge$inbox[[as.character(bridge$loops)]] <- NULL
  facts <- as_fields(frame$data)
  structure(lapply(facts[names(facts) != "over"], as.numeric), class = "doLambdaReport")
}

print.doLambdaReport <- function(x, ...) {
  cat(sprintf("%s tasks: %s done, %s failed, %s retried\n", x$tasks, x$done, x$failed, x$retried))
  throttled <- if (isTRUE(x$throttles > 0)) sprintf(" (%s throttled)", x$throttles) else ""
  cat(sprintf(
    "%s jobs on %s workers, %.1f s of their time, %s AWS requests%s\n",
    x$jobs, x$workers, x$seconds, x$requests, throttled
  ))
  cat(sprintf("$%.4f by list price\n", x$cost))
  invisible(x)
}
