# A cluster as parallel knows it, whose nodes are tasks on Lambda.
#
# A node of parallel's keeps what it was sent: clusterExport() and clusterEvalQ() leave variables and
# packages on it. A worker of Lambda keeps nothing for certain. So each node has a journal of the calls
# that clusterCall() has made on it; a task brings the journal along, and a worker's R first does what it
# has not done yet. Entries are sent once, whatever the number of nodes. The state of a node's random
# numbers goes along and comes back.

makeLambdaCluster <- function(n = NULL, ...) {
  if (!is.null(n) && (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 1 || n != floor(n)))
    lambda_stop(sprintf("n must be a whole number from 1, got %s", deparse(n)[[1L]]), class = "ConfigurationError")
  own <- length(list(...)) > 0L || is.null(registered$bridge)
  if (own) {
    settings <- lambda_settings(...)
    bridge <- start_bridge(find_python(settings$python), settings$fields)
    data <- loop_data(bridge, settings)
  } else {
    data <- registered$data
    bridge <- data$bridge
  }
  shared <- new.env(parent = emptyenv())
  shared$bridge <- bridge
  shared$own <- own
  shared$show <- display(data$logs, FALSE)
  shared$loop <- open_loop(bridge, data$run[names(data$run) != "progress"])
  shared$functions <- list()   # numbers of functions, by the numbers of their parts
  shared$pending <- list()     # nodes, by the numbers of the tasks they wait for
  shared$libraries <- send_part(shared$loop, serialize(cluster_start(), NULL, xdr = FALSE))
  n <- as.integer(if (is.null(n)) bridge$facts$workers else n)
  shared$nodes <- lapply(seq_len(n), function(rank) new_node(shared))
  clusters$count <- clusters$count + 1L
  id <- sprintf("%s-%d", bridge$session, clusters$count)
  assign(id, shared, clusters$open)
  # A node says only which it is: future names a cluster by the content of its nodes.
  nodes <- lapply(seq_len(n), function(rank)
    structure(list(cluster = id, rank = rank, host = "AWS Lambda"), class = "LambdaNode"))
  structure(nodes, class = c("LambdaCluster", "cluster"))
}

# Clusters that have not been stopped, by name.
clusters <- new.env(parent = emptyenv())
clusters$count <- 0L
clusters$open <- new.env(parent = emptyenv())

# What a node knows: its journal, its random numbers, the tasks it was sent and their replies.
new_node <- function(shared) {
  state <- new.env(parent = emptyenv())
  state$shared <- shared
  state$journal <- list()
  state$seed <- NULL
  state$sent <- integer()
  state$replies <- list()
  state
}

state_of <- function(node) {
  shared <- clusters$open[[node$cluster]]
  if (is.null(shared))
    lambda_stop("the cluster has been stopped", "Make another: makeLambdaCluster().", "bridgeError")
  shared$nodes[[node$rank]]
}

# The first part of a cluster's functions: they have no body of their own.
cluster_start <- function()
  list(cluster = TRUE, libraries = .libPaths(),
    version = paste(R.version$major, sub("[.].*", "", R.version$minor), sep = "."))

print.LambdaCluster <- function(x, ...) {
  cat(sprintf("cluster of %d nodes on AWS Lambda\n", length(x)))
  invisible(x)
}

print.LambdaNode <- function(x, ...) {
  cat(sprintf("node %d of a cluster on AWS Lambda\n", x$rank))
  invisible(x)
}

# parallel's generics are not exported: .onLoad() registers these as their methods.

sendData.LambdaNode <- function(node, data) {
  if (identical(data$type, "DONE")) return(invisible())
  state <- state_of(node)
  shared <- state$shared
  if (length(state$sent)) forget_sent(state)
  journal <- state$journal
  task <- list(call = data$data[c("fun", "args")], seed = state$seed)
  entry <- NULL
  if (is_lasting()) {
    # The call itself is the journal's last entry, and its value the task's.
    entry <- entry_of(shared, data$data)
    state$journal <- journal <- with_entry(journal, entry)
    task$call <- NULL
  }
  task$seeds <- lapply(journal, `[[`, "seed")
  parts <- c(shared$libraries, vapply(journal, `[[`, 1L, "part"))
  key <- paste(parts, collapse = " ")
  if (is.null(shared$functions[[key]])) shared$functions[[key]] <- send_function(shared$loop, parts)
  send_tasks(shared$loop, shared$functions[[key]], list(serialize(task, NULL, xdr = FALSE)))
  state$sent <- c(state$sent, shared$loop$sent)
  shared$pending[[as.character(shared$loop$sent)]] <- list(state = state, tag = data$data$tag, entry = entry$part)
  invisible()
}

# parallel asks a node once at a time. When it asks again before it has the reply, an interrupt came
# between, and that reply is nobody's: it would be taken for the next one.
forget_sent <- function(state) {
  state$shared$pending[as.character(state$sent)] <- NULL
  state$sent <- integer()
  state$replies <- list()
}

# Calls that leave something on a node: all of clusterCall(), which clusterExport() and clusterEvalQ()
# are made of. What others do to a node's random numbers comes back with their replies.
is_lasting <- function() {
  for (k in seq_len(sys.nframe()))
    if (identical(sys.function(k), parallel::clusterCall)) return(TRUE)
  FALSE
}

# An entry: the number of its part, and what a later one must be like to take its place.
entry_of <- function(shared, call) {
  data <- serialize(call[c("fun", "args")], NULL, xdr = FALSE)
  known <- shared$last_entry  # clusterCall() sends the same call to each node
  if (is.null(known) || !identical(known$data, data)) {
    known <- list(data = data, part = send_part(shared$loop, data))
    shared$last_entry <- known
  }
  list(part = known$part, key = key_of(call$fun, call$args))
}

# clusterExport() of a name takes the place of an earlier one, and so does the set-up that doParallel and
# future make for each of their loops, unless a call of the user's own came between, which may have used
# it. So a journal is as long as what has really been left on the node.
key_of <- function(fun, args) {
  from <- if (is.null(environment(fun))) "" else environmentName(topenv(environment(fun)))
  if (!from %in% c("parallel", "doParallel", "future")) return(NULL)
  name <- if (length(args) && is.character(args[[1L]]) && length(args[[1L]]) == 1L) args[[1L]]
  list(from = from, fun = fun, name = name)
}

with_entry <- function(journal, entry) {
  if (!is.null(entry$key)) {
    last <- max(0L, which(vapply(journal, function(one) is.null(one$key), TRUE)))
    kept <- vapply(journal, function(one) !is_replaced(one$key, entry$key), TRUE)
    journal <- journal[seq_along(journal) <= last | kept]
  }
  c(journal, list(entry))
}

is_replaced <- function(old, new)
  identical(old, new) || (is_clearing(new) && is.list(old) && identical(old$from, "future"))

# future removes all variables before each of its futures.
is_clearing <- function(key)
  is.list(key) && identical(key$from, "future") && is.null(key$name) &&
    any(grepl("rm(list", deparse(body(key$fun)), fixed = TRUE))

# A call that failed has left nothing that could be relied on.
without_entry <- function(journal, part)
  Filter(function(one) one$part != part, journal)

# A call that drew random numbers draws the same when another worker repeats it.
with_seed <- function(journal, part, seed)
  lapply(journal, function(one) if (one$part == part) c(one, list(seed = seed)) else one)

# Wait until one of these nodes has a reply.
await_reply <- function(states) {
  shared <- states[[1L]]$shared
  repeat {
    for (k in seq_along(states)) if (has_reply(states[[k]])) return(k)
    arrived <- receive_results(shared$loop, shared$show)
    for (k in seq_along(arrived$tasks)) take_reply(shared, arrived$tasks[[k]], arrived$results[[k]])
  }
}

take_reply <- function(shared, task, result) {
  key <- as.character(task)
  waiting <- shared$pending[[key]]
  if (is.null(waiting)) return(invisible())
  shared$pending[[key]] <- NULL
  state <- waiting$state
  if (length(result) > 1L && length(result[[2L]])) show_warnings(task, result[[2L]])
  value <- result[[1L]]
  success <- !inherits(value, "error")
  if (success) {
    if (!is.null(value$seed)) state$seed <- value$seed
    if (!is.null(value$before)) state$journal <- with_seed(state$journal, waiting$entry, value$before)
    time <- value$time
    value <- value$value
  } else {
    if (!is.null(waiting$entry)) state$journal <- without_entry(state$journal, waiting$entry)
    time <- structure(c(0, 0, 0, 0, 0), names = names(proc.time())[1:5], class = "proc_time")
    value <- structure(conditionMessage(value), class = c("snow-try-error", "try-error"))
  }
  reply <- list(type = "VALUE", value = value, success = success, time = time, tag = waiting$tag)
  state$replies[[key]] <- reply
}

# A node replies in the order in which it was asked.
has_reply <- function(state)
  length(state$sent) > 0L && !is.null(state$replies[[as.character(state$sent[[1L]])]])

next_reply <- function(state) {
  key <- as.character(state$sent[[1L]])
  reply <- state$replies[[key]]
  state$replies[[key]] <- NULL
  state$sent <- state$sent[-1L]
  reply
}

recvData.LambdaNode <- function(node) {
  state <- state_of(node)
  await_reply(list(state))
  next_reply(state)
}

recvOneData.LambdaCluster <- function(cl) {
  states <- lapply(unclass(cl), state_of)
  node <- await_reply(states)
  list(node = node, value = next_reply(states[[node]]))
}

closeNode.LambdaNode <- function(node) invisible()

stopCluster.LambdaCluster <- function(cl) {
  id <- if (length(cl)) unclass(cl)[[1L]]$cluster
  shared <- if (!is.null(id)) clusters$open[[id]]
  if (is.null(shared)) return(invisible())
  rm(list = id, envir = clusters$open)
  stop_shared(shared)
}

stop_shared <- function(shared) {
  bridge <- shared$bridge
  if (is.null(bridge$con) || bridge$pid != Sys.getpid()) return(invisible())
  if (length(shared$pending)) cancel_loop(shared$loop) else close_loop(shared$loop)
  if (shared$own) end_bridge(bridge)
  invisible()
}
