# The R process of a worker. It is started by r_process.py, which says what the frames are.
#
# A task is evaluated as on the client: its own variables, then those that the loop's environment
# held, then the global environment. All of ours is in an environment that sees base R alone.

evalq({
  where_in <- Sys.getenv("DOLAMBDA_R_IN")
  where_out <- Sys.getenv("DOLAMBDA_R_OUT")
  Sys.unsetenv(c("DOLAMBDA_R_IN", "DOLAMBDA_R_OUT"))
  input <- file(where_in, "rb", raw = TRUE)
  output <- file(where_out, "wb", raw = TRUE)

  SMALL <- 2^16    # bytes that arrive at once
  LARGEST <- 2^30  # bytes that are read or written at once: R's limit is 2^31 - 1
  SLICE <- 2^24    # ... of more than that
  TRACE <- 20L

  if (identical(Sys.getenv("R_DEFAULT_PACKAGES"), "NULL")) {
    # A layer's R: utils runs Sys.which when it is loaded, and that runs a program which may be missing.
    found <- function(names) {
      folders <- strsplit(Sys.getenv("PATH"), ":", fixed = TRUE)[[1L]]
      one <- function(name) {
        places <- file.path(folders, name)
        c(places[file.access(places, 1L) == 0L], "")[[1L]]
      }
      vapply(names, one, "")
    }
    base <- baseenv()
    unlockBinding("Sys.which", base)
    environment(found) <- base
    assign("Sys.which", found, base)
    lockBinding("Sys.which", base)
    Sys.unsetenv("R_DEFAULT_PACKAGES")
    for (package in c("methods", "datasets", "utils", "grDevices", "graphics", "stats"))
      library(package, character.only = TRUE)
  }

  read <- function(size) {
    if (size > 0 && size <= SMALL) return(readBin(input, "raw", size))
    pieces <- list()
    while (size > 0) {
      piece <- readBin(input, "raw", min(size, LARGEST))
      if (length(piece) == 0L) quit("no", 0L, FALSE)
      pieces[[length(pieces) + 1L]] <- piece
      size <- size - length(piece)
    }
    if (length(pieces) == 1L) pieces[[1L]] else do.call(c, pieces)
  }

  write <- function(data, failed) {
    writeBin(as.double(c(failed, length(data))), output, endian = "big")
    if (length(data) <= LARGEST) writeBin(data, output)
    else {  # a slice needs an index of eight times its size
      at <- 0
      while (at < length(data)) {
        end <- min(at + SLICE, length(data))
        writeBin(data[(at + 1):end], output)
        at <- end
      }
    }
    flush.connection(output)
  }

  answer <- function(result)
    write(serialize(result, NULL, xdr = FALSE), inherits(result[[1L]], "error"))

  # What an evaluation has raised: its warnings, and the calls that led to an error.
  warnings <- list()
  trace <- NULL
  note_warning <- function(w) {
    warnings[[length(warnings) + 1L]] <<- w
    tryInvokeRestart("muffleWarning")
  }
  note_trace <- function(e) trace <<- sys.calls()

  # What an evaluation gave: its value or its error, and if there are any, its warnings and where an
  # error was raised.
  outcome <- function(value) {
    force(value)  # what it raises counts
    if (!length(warnings) && !inherits(value, "error")) return(list(value))
    result <- list(value, warnings, if (is.null(trace)) character() else calls_below(trace))
    warnings <<- list()
    trace <<- NULL
    result
  }

  # The calls of the user's code among those on the stack: those below our eval().
  calls_below <- function(calls) {
    at <- which(vapply(calls, identical, TRUE, quote(eval(expr, args, env))))
    calls <- calls[seq_along(calls) > c(at, 0L)[[1L]] + 1L]
    calls <- calls[seq_len(max(0L, length(calls) - 2L))]  # those of the handler
    calls <- calls[seq_len(min(length(calls), TRACE))]
    vapply(calls, function(call) deparse(call, nlines = 1L)[[1L]], "")
  }

  parts <- list()       # raw vectors, by digest
  known <- list()       # unserialized values, by digest
  loop <- NULL          # the function at hand
  failed <- NULL        # why it could not be prepared
  exported <- character()

  part <- function(digest) {
    if (is.null(known[[digest]])) {
      known[[digest]] <<- list(unserialize(parts[[digest]]))
      parts[[digest]] <<- NULL
    }
    known[[digest]][[1L]]
  }

  clear <- function() {
    define(character())
    rm(list = setdiff(ls(globalenv(), all.names = TRUE), ".Random.seed"), envir = globalenv())
  }

  # S4 classes, generics and methods are known once R's tables of them have been brought up to date.
  defined <- character()  # the digest of those at hand
  define <- function(digest) {
    if (identical(digest, defined)) return()
    if (length(defined)) {
      methods::cacheMetaData(globalenv(), FALSE)
      rm(list = intersect(definitions, ls(globalenv(), all.names = TRUE)), envir = globalenv())
    }
    defined <<- digest
    if (!length(digest)) return()
    values <- part(digest)
    definitions <<- names(values)
    list2env(values, globalenv())
    methods::cacheMetaData(globalenv(), TRUE)
  }
  definitions <- character()

  # Digests of the calls that have been made in this process as a node of a cluster; LOOP once it has
  # served a loop of foreach's.
  done <- character()
  LOOP <- "a loop"

  prepare <- function(digests) {
    parts <<- parts[names(parts) %in% digests]
    known <<- known[names(known) %in% digests]
    first <- part(digests[[1L]])
    if (isTRUE(first$cluster)) return(prepare_node(first, digests[-1L]))
    if (!identical(done, LOOP) && length(done)) clear()
    done <<- LOOP
    libraries <- first$libraries[dir.exists(first$libraries)]
    if (length(libraries)) .libPaths(unique(c(libraries, .libPaths())))
    for (package in first$packages) suppressPackageStartupMessages(library(package, character.only = TRUE))
    if ("foreach" %in% loadedNamespaces()) foreach::registerDoSEQ()  # for loops within tasks
    rm(list = intersect(exported, ls(globalenv(), all.names = TRUE)), envir = globalenv())
    locals <- if (is.null(first$dots)) new.env(parent = globalenv())
      else do.call(function(...) environment(), first$dots, quote = TRUE)
    parent.env(locals) <- if (is.null(first$home)) globalenv() else first$home
    define(if (is.null(first$definitions)) character() else digests[[first$definitions]])
    list2env(first$locals, locals)
    list2env(first$globals, globalenv())
    for (large in first$large) {
      place <- if (large$global) globalenv() else locals
      assign(large$name, part(digests[[large$part]]), place)
    }
    large_globals <- vapply(first$large, function(large) if (large$global) large$name else "", "")
    exported <<- setdiff(c(names(first$globals), large_globals), "")
    first$locals <- first$globals <- NULL
    first$environment <- locals
    first$expr <- compiled(first$expr, locals)
    first
  }

  # R compiles functions by itself, but not the loops of an expression.
  compiled <- function(expr, env) {
    if (!any(c("for", "while", "repeat") %in% all.names(expr))) return(expr)
    compiler::compile(expr, env, options = list(suppressAll = TRUE))
  }

  # A node of a cluster: what has been called on it leaves its mark on this process, so only what is
  # new of its journal is done. A process that has done anything else starts from the beginning.
  prepare_node <- function(first, journal) {
    libraries <- first$libraries[dir.exists(first$libraries)]
    if (length(libraries)) .libPaths(unique(c(libraries, .libPaths())))
    first$journal <- journal
    first
  }

  call_one <- function(call) do.call(call$fun, call$args, quote = TRUE, envir = globalenv())

  seed_now <- function()
    if (exists(".Random.seed", globalenv(), inherits = FALSE)) get(".Random.seed", globalenv())

  set_seed <- function(seed) {
    if (!is.null(seed)) assign(".Random.seed", seed, globalenv())
    else if (!is.null(seed_now())) rm(".Random.seed", envir = globalenv())
  }

  # What a call has printed on one worker is not shown again when another repeats it.
  quietly <- function(expr) {
    nowhere <- file(nullfile(), "w")
    sink(nowhere)
    on.exit({
      sink()
      close(nowhere)
    })
    suppressWarnings(suppressMessages(expr))
  }

  # Make the calls of a journal that this process has not made; return the value of the last one.
  # `new` is the number of the one that is made for the first time.
  make_calls <- function(ids, seeds, count, new = 0L) {
    if (!identical(done, ids[seq_along(done)])) {
      clear()
      done <<- character()
    }
    value <- NULL
    for (k in seq_len(count)[seq_len(count) > length(done)]) {
      if (!is.null(seeds[[k]])) set_seed(seeds[[k]])
      call <- part(loop$journal[[k]])
      value <- if (k == new) call_one(call) else quietly(call_one(call))
      done <<- c(done, ids[[k]])
    }
    value
  }

  run_on_node <- function(task) {
    begun <- proc.time()
    before <- NULL
    count <- length(loop$journal)
    ids <- vapply(seq_len(count), function(k) paste(c(loop$journal[[k]], task$seeds[[k]][1:9]), collapse = " "), "")
    if (is.null(task$call)) {
      make_calls(ids, task$seeds, count - 1L)
      set_seed(task$seed)
      if (is.null(task$seed)) set.seed(NULL)
      before <- seed_now()
      value <- make_calls(c(ids[-count], "the last one"), task$seeds, count, count)
      drew <- !identical(before, seed_now())
      if (drew) ids[[count]] <- paste(c(loop$journal[[count]], before[1:9]), collapse = " ")
      done <<- ids
      if (!drew) {
        set_seed(task$seed)
        before <- NULL
      }
    } else {
      make_calls(ids, task$seeds, count)
      set_seed(task$seed)
      value <- call_one(task$call)
    }
    list(value = value, time = proc.time() - begun, seed = seed_now(), before = before)
  }

  run <- function(payload) {
    if (isTRUE(loop$cluster)) return(run_on_node(unserialize(payload)))
    expr <- loop$expr
    args <- unserialize(payload)
    env <- loop$environment
    eval(expr, args, env)
  }

  warned <- FALSE
  version_warning <- function() {
    warned <<- TRUE
    here <- paste(R.version$major, sub("[.].*", "", R.version$minor), sep = ".")
    if (is.null(loop$version) || identical(here, loop$version)) return()
    warning(sprintf("the workers run R %s, this session R %s", here, loop$version), call. = FALSE)
  }

  # Do what the next frame asks for.
  serve_one <- function() {
    head <- readBin(input, "double", 2L, endian = "big")
    if (length(head) < 2L) quit("no", 0L, FALSE)
    size <- head[[2L]]
    switch(head[[1L]],
      {
        digest <- rawToChar(read(64))
        parts[[digest]] <<- read(size - 64)
      },
      {
        names <- rawToChar(read(size))
        digests <- substring(names, seq(1L, nchar(names), 64L), seq(64L, nchar(names), 64L))
        loop <<- failed <<- NULL
        error <- tryCatch(
          withCallingHandlers({
            loop <<- prepare(digests)
            NULL
          }, warning = note_warning, error = note_trace),
          error = identity)
        if (!is.null(error)) failed <<- c(outcome(error), TRUE)
        warnings <<- list()  # those of packages that are loaded are no task's
      },
      {
        payload <- read(size)
        if (!warned) version_warning()
        answer(if (is.null(failed)) outcome(run(payload)) else failed)
      })
  }

  # The handlers are set up once for all tasks, and again after one that fails.
  serve <- function() {
    answer(list("ready"))
    repeat {
      error <- tryCatch(
        withCallingHandlers(repeat serve_one(), warning = note_warning, error = note_trace),
        error = identity)
      answer(outcome(error))
    }
  }
  serve()
}, new.env(parent = baseenv()))
