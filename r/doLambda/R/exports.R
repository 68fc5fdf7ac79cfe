# What the tasks of a loop share: the body, and what it refers to, directly or through functions.

LARGE <- 2^20         # bytes from which a variable travels by itself, so that loops share it
MAX_SIZE <- 500 * 2^20
DEPTH <- 3L           # levels of lists and environments that are searched for functions

# Names that an expression needs from its surroundings. A name that is certainly assigned before it is
# read is left out; one that may be is not.
free_names <- function(expr, bound = character()) {
  found <- new.env(parent = emptyenv())
  found$names <- character()
  walk(expr, bound, found)
  unique(found$names)
}

# Return the names that are bound once `e` has been evaluated.
walk <- function(e, bound, found) {
  if (is.symbol(e)) {
    name <- as.character(e)
    if (nzchar(name) && !name %in% bound) found$names <- c(found$names, name)
    return(bound)
  }
  if (is.expression(e)) {
    for (part in as.list(e)) bound <- walk(part, bound, found)
    return(bound)
  }
  if (!is.call(e)) return(bound)
  head <- e[[1L]]
  if (!is.symbol(head)) {
    for (part in as.list(e)) if (!missing(part)) walk(part, bound, found)
    return(bound)
  }
  walk(head, bound, found)
  walk_call(as.character(head), e, bound, found)
}

# Functions whose arguments may name a function, or a variable, by a text.
BY_TEXT <- c("do.call", "match.fun", "get", "get0", "lapply", "sapply", "vapply", "mapply", "Map", "Reduce",
  "Filter", "apply", "tapply", "outer")

walk_call <- function(name, e, bound, found) {
  args <- as.list(e)[-1L]
  if (name %in% BY_TEXT)
    for (part in args) if (is_text(part)) walk(as.symbol(part), bound, found)
  each <- function(parts, bound) for (part in parts) if (!missing(part)) walk(part, bound, found)
  switch(name,
    "{" = , "(" = {
      for (part in args) bound <- walk(part, bound, found)
      bound
    },
    "<-" = , "=" = , "<<-" = walk_assign(name, args, bound, found),
    "function" = {
      inner <- c(bound, names(args[[1L]]))
      each(as.list(args[[1L]]), inner)
      walk(args[[2L]], inner, found)
      bound
    },
    "for" = {
      walk(args[[2L]], bound, found)
      walk(args[[3L]], c(bound, as.character(args[[1L]])), found)
      bound
    },
    "if" = , "while" = {
      bound <- walk(args[[1L]], bound, found)
      each(args[-1L], bound)
      bound
    },
    "$" = , "@" = {
      walk(args[[1L]], bound, found)
      if (identical(args[[1L]], quote(.GlobalEnv)) && is.symbol(args[[2L]])) walk(args[[2L]], bound, found)
      bound
    },
    "::" = , ":::" = bound,
    "%do%" = , "%dopar%" = , "%dorng%" = {
      walk(args[[1L]], bound, found)
      walk(args[[2L]], c(bound, loop_names(args[[1L]])), found)
      bound
    },
    {
      each(args, bound)
      bound
    })
}

is_text <- function(part) is.character(part) && length(part) == 1L && !is.na(part) && nzchar(part)

walk_assign <- function(name, args, bound, found) {
  if (length(args) < 2L) return(bound)
  bound <- walk(args[[2L]], bound, found)
  target <- args[[1L]]
  if (is.call(target)) {  # names(x)[1] <- value reads x
    walk(target, bound, found)
    while (is.call(target)) {
      if (is.symbol(target[[1L]])) walk(as.symbol(paste0(as.character(target[[1L]]), "<-")), bound, found)
      target <- target[[2L]]
    }
  } else if (name == "<<-") walk(as.symbol(as.character(target)), bound, found)
  if (name == "<<-") bound else c(bound, as.character(target))
}

# Names of the iteration variables of a foreach() within the body.
loop_names <- function(e) {
  if (!is.call(e)) return(character())
  inner <- unlist(lapply(as.list(e)[-1L], function(part) if (!missing(part)) loop_names(part)))
  c(if (identical(e[[1L]], quote(foreach))) names(e), inner)
}

# Free names of a function.
function_names <- function(fun) {
  bound <- names(formals(fun))
  defaults <- Filter(function(part) !identical(part, quote(expr = )), as.list(formals(fun)))
  unique(c(unlist(lapply(defaults, free_names, bound)), free_names(body(fun), bound)))
}

# Where a name is: "local" (a frame), "global", "package" (attached), or "" (nowhere, or base).
place_of <- function(name, env) {
  repeat {
    if (identical(env, globalenv())) break
    if (identical(env, emptyenv()) || identical(env, baseenv()) || isNamespace(env)) return(list(kind = ""))
    if (exists(name, env, inherits = FALSE)) return(list(kind = "local", env = env))
    env <- parent.env(env)
  }
  if (exists(name, globalenv(), inherits = FALSE)) return(list(kind = "global", env = globalenv()))
  for (package in setdiff(search()[-1L], c("Autoloads", "package:base")))
    if (exists(name, as.environment(package), inherits = FALSE)) return(list(kind = "package", name = package))
  list(kind = "")
}

DEFAULT_PACKAGES <- c("stats", "graphics", "grDevices", "utils", "datasets", "methods", "base")

# Collect, from names and the environment they are seen from, what has to travel.
collect <- function(names, env, into, top = TRUE) {
  for (name in setdiff(names, c("...", into$noexport))) {
    for (method in methods_of(name, into)) collect_one(method, globalenv(), into, top = FALSE)
    collect_one(name, env, into, top)
  }
}

collect_one <- function(name, env, into, top) {
  place <- place_of(name, env)
  if (place$kind == "package") {
    if (startsWith(place$name, "package:")) {
      package <- substring(place$name, 9L)
      if (!package %in% DEFAULT_PACKAGES) into$packages <- union(into$packages, package)
    }
    return()
  }
  if (!nzchar(place$kind)) return()
  global <- place$kind == "global"
  known <- if (global) into$globals else into$locals
  if ((global || top) && name %in% names(known)) return()
  value <- tryCatch(get(name, place$env, inherits = FALSE), error = function(e) e)
  if (inherits(value, "error") || identical(value, quote(expr = ))) return()  # a promise that fails, a missing argument
  if (global) into$globals[name] <- list(value)
  else if (top) into$locals[name] <- list(value)
  collect_inside(value, into, DEPTH)
}

# What the functions in a value refer to. What is in their own frames travels with them.
collect_inside <- function(value, into, depth) {
  if (is.function(value)) {
    env <- environment(value)
    if (is.null(env) || is_known(value, into)) return()
    if (isNamespace(topenv(env))) return(collect_held(env, into, depth))
    into$functions[[length(into$functions) + 1L]] <- value
    collect(function_names(value), env, into, top = FALSE)
  } else if (depth > 0L && is.list(value) && !is.data.frame(value)) {
    for (part in unclass(value)) if (is.recursive(part)) collect_inside(part, into, depth - 1L)
  } else if (depth > 0L && is.environment(value) && !is_searched(value, into)) {
    into$environments[[length(into$environments) + 1L]] <- value
    for (name in ls(value, all.names = TRUE)) {
      part <- tryCatch(get(name, value, inherits = FALSE), error = function(e) NULL)
      if (is.recursive(part)) collect_inside(part, into, depth - 1L)
    }
  }
}

# What a package's function has made may hold the user's functions: Vectorize(f) holds f.
collect_held <- function(env, into, depth) {
  while (!isNamespace(env) && !identical(env, globalenv()) && !identical(env, emptyenv())) {
    collect_inside(env, into, depth)
    env <- parent.env(env)
  }
}

# What is iterated over travels with each task, but not what functions in it refer to.
collect_arguments <- function(obj, envir, into) {
  if (inherits(obj, "xforeach")) collect_arguments(obj$e2, envir, into)
  if (!is.null(obj$e1)) return(collect_arguments(obj$e1, envir, into))
  for (arg in as.list(obj$args)) {
    for (inner in functions_in(arg)) collect(free_names(inner), envir, into, top = TRUE)
    for (name in free_names(arg)) {
      env <- place_of(name, envir)$env
      value <- if (!is.null(env)) tryCatch(get(name, env, inherits = FALSE), error = function(e) NULL)
      if (is.recursive(value)) collect_inside(value, into, DEPTH)
    }
  }
}

# The calls of `function` in an expression.
functions_in <- function(e) {
  if (!is.call(e)) return(list())
  if (identical(e[[1L]], quote(`function`))) return(list(e))
  unlist(lapply(as.list(e), function(part) if (!missing(part)) functions_in(part)))
}

is_known <- function(value, into)
  any(vapply(into$functions, function(one) identical(one, value, ignore.environment = FALSE), TRUE))

is_searched <- function(env, into)
  identical(env, globalenv()) || isNamespace(env) || identical(env, emptyenv()) ||
    any(vapply(into$environments, identical, TRUE, env))

# S3 methods that the user has defined for a function: print.mine for print.
methods_of <- function(name, into) {
  if (is.null(into$global_names)) into$global_names <- ls(globalenv())
  mine <- into$global_names[startsWith(into$global_names, paste0(name, "."))]
  setdiff(mine[vapply(mine, exists, TRUE, globalenv(), mode = "function", inherits = FALSE)], into$noexport)
}

# S4 classes, generics and methods that the session has defined. Objects of these may come from
# anywhere, so all of them travel.
definitions_of <- function(into) {
  names <- ls(globalenv(), all.names = TRUE)
  classes <- names[startsWith(names, ".__C__")]
  tables <- names[startsWith(names, ".__T__")]
  generics <- intersect(sub("^[.]__T__(.*):[^:]*$", "\\1", tables), names)
  found <- mget(c(classes, tables, generics), globalenv())
  for (table in found[tables]) collect_inside(table, into, DEPTH)
  for (class in found[classes]) {
    collect_inside(class@validity, into, DEPTH)
    if (methods::is(class, "refClassRepresentation")) collect_inside(class@refMethods, into, DEPTH)
  }
  found
}

# missing(x) asks about an argument of the function that the loop is in. A worker has its value at most,
# so the answer travels in the place of the question.
answer_missing <- function(expr, envir, own) {
  if (!is.call(expr)) return(expr)
  if (is.symbol(expr[[1L]])) {
    head <- as.character(expr[[1L]])
    if (head %in% c("function", "quote", "bquote", "substitute", "expression", "~")) return(expr)
    if (head == "missing" && length(expr) == 2L && !as.character(expr[[2L]]) %in% own)
      return(tryCatch(eval(expr, envir), error = function(e) expr))
  }
  for (k in seq_along(expr)) {
    part <- expr[[k]]
    if (!missing(part) && is.call(part)) expr[[k]] <- answer_missing(part, envir, own)
  }
  expr
}

# Serialize what the tasks of a loop share, large variables apart. Raises an error when it is too large.
shared_of <- function(expr, envir, obj, max_size, data) {
  into <- new.env(parent = emptyenv())
  into$noexport <- obj$noexport
  into$globals <- into$locals <- into$functions <- into$environments <- list()
  into$packages <- character()
  collect(free_names(expr, obj$argnames), envir, into)
  for (name in setdiff(obj$export, obj$argnames)) {
    if (!exists(name, envir)) stop(sprintf("unable to find variable \"%s\"", name), call. = FALSE)
    if (place_of(name, envir)$kind == "") into$locals[name] <- list(get(name, envir))  # of a namespace
    else collect_one(name, envir, into, TRUE)
  }
  collect_arguments(obj, envir, into)
  dots <- if (any(grepl(DOTS, all.names(expr)))) dots_of(envir)
  collect_inside(dots, into, DEPTH)
  definitions <- definitions_of(into)
  if (obj$verbose) tell_exports(into)
  packages <- union(obj$packages, rev(intersect(sub("package:", "", search()), into$packages)))
  home <- topenv(envir)
  first <- list(
    expr = if ("missing" %in% all.names(expr)) answer_missing(expr, envir, obj$argnames) else expr, packages = setdiff(packages, "doLambda"), libraries = .libPaths(), dots = dots,
    version = paste(R.version$major, sub("[.].*", "", R.version$minor), sep = "."),
    home = if (isNamespace(home)) home)
  parts <- apart(first, into, definitions)
  size <- sum(lengths(parts))
  if (size > max_size) too_large(into, size, max_size)
  list(parts = parts, packages = first$packages)
}

DOTS <- "^([.][.][.](length|elt|names)?|[.][.][0-9]+)$"

dots_of <- function(envir) tryCatch(eval(quote(list(...)), envir), error = function(e) NULL)

# The serialized parts: the first holds all but the large variables, and says where these belong.
apart <- function(first, into, definitions) {
  parts <- list(NULL)
  into$globals <- into$globals[setdiff(names(into$globals), names(definitions))]
  if (length(definitions)) {
    parts[[2L]] <- serialize(definitions, NULL, xdr = FALSE)
    first$definitions <- 2L
  }
  large <- list()
  for (kind in c("globals", "locals")) {
    for (name in names(into[[kind]])) {
      value <- into[[kind]][[name]]
      if (!is_large(value)) next
      parts[[length(parts) + 1L]] <- serialize(value, NULL, xdr = FALSE)
      large[[length(large) + 1L]] <- list(name = name, global = kind == "globals", part = length(parts))
    }
  }
  where <- vapply(large, `[[`, "", "name")
  global <- vapply(large, `[[`, TRUE, "global")
  first$globals <- into$globals[setdiff(names(into$globals), where[global])]
  first$locals <- into$locals[setdiff(names(into$locals), where[!global])]
  first$large <- large
  parts[[1L]] <- serialize(first, NULL, xdr = FALSE)
  parts
}

is_large <- function(value) {
  plain <- is.atomic(value) || (is.data.frame(value) && all(vapply(value, is.atomic, TRUE)))
  plain && !is.null(value) && utils::object.size(value) > LARGE
}

tell_exports <- function(into) {
  names <- c(names(into$globals), names(into$locals))
  cat("exporting:", if (length(names)) paste(names, collapse = ", ") else "nothing", "\n")
  if (length(into$packages)) cat("loading:", paste(into$packages, collapse = ", "), "\n")
}

# Name what makes it so large.
too_large <- function(into, size, max_size) {
  values <- c(into$globals, into$locals)
  sizes <- vapply(values, function(value) length(serialize(value, NULL, xdr = FALSE)), 1)
  order <- utils::head(order(-sizes), 3L)
  named <- vapply(order, function(k) {
    text <- sprintf("%s (%s)", names(values)[[k]], megabytes(sizes[[k]]))
    inside <- if (is.function(values[[k]])) largest_inside(environment(values[[k]]))
    if (length(inside)) paste0(text, ", a function whose environment holds ", inside) else text
  }, "")
  lambda_stop(
    sprintf("what the tasks share is %s, more than the %s allowed: %s", megabytes(size),
      megabytes(max_size), paste(named, collapse = "; ")),
    "Leave it out (.noexport), cut it (rm() in the function's environment), or allow more: .options.dolambda = list(max_size = bytes).",
    "TooLargeError")
}

largest_inside <- function(env) {
  if (is.null(env) || identical(env, globalenv())) return(NULL)
  sizes <- vapply(ls(env), function(name) as.numeric(utils::object.size(get(name, env))), 1)
  if (!length(sizes)) return(NULL)
  sprintf("%s (%s)", names(which.max(sizes)), megabytes(max(sizes)))
}

megabytes <- function(size) sprintf("%.1f MB", size / 2^20)
