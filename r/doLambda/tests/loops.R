# The package's own tests: on AWS emulated on this machine, where dolambda is installed.
library(doLambda)
library(foreach)
library(iterators)

# What needs no Python: which names a body refers to.
refers_to <- function(expr, names, bound = character()) setequal(doLambda:::free_names(expr, bound), names)
stopifnot(
  refers_to(quote(a + b), c("+", "b"), "a"),
  refers_to(quote({ x <- y; x }), c("{", "<-", "y")),
  refers_to(quote(x <- x + 1), c("+", "<-", "x")),
  refers_to(quote(if (p) x <- 1), c("<-", "if", "p")),
  refers_to(quote({ if (p) x <- 1; x }), c("<-", "if", "p", "x", "{")),
  refers_to(quote(function(u, v = w) u + v), c("+", "function", "w")),
  refers_to(quote(for (k in s) k), c("for", "s")),
  refers_to(quote(d$name), c("$", "d")),
  refers_to(quote(names(x)[2] <- "b"), c("<-", "[", "[<-", "names", "names<-", "x")),
  refers_to(quote(stats::f(x)), c("::", "x")),
  refers_to(quote(n <<- n + 1), c("+", "<<-", "n")),
  refers_to(quote(foreach(j = 1:2) %do% (i * j)), c("%do%", "(", "*", ":", "foreach"), "i"))

# What is sent of the variables that are seen from a frame, and through functions.
shared <- function(expr, envir) {
  obj <- foreach(i = 1:2)
  parts <- doLambda:::shared_of(substitute(expr), envir, obj, 2^20, NULL)$parts
  unserialize(parts[[1L]])
}
base_value <- 3
scale_by <- function(x) x * base_value
outer_frame <- function() {
  inner <- 5
  shared(scale_by(i) + inner, environment())
}
found <- outer_frame()
stopifnot(
  identical(names(found$locals), "inner"),
  setequal(names(found$globals), c("scale_by", "base_value")))

if (doLambdaInstalled()) {
  set.seed(1)
  before <- .Random.seed
  registerDoLambda("local", progress = FALSE)
  stopifnot(identical(before, .Random.seed), getDoParName() == "doLambda", getDoParWorkers() >= 2L)
  stopifnot(
    identical(foreach(i = 1:20, .combine = c) %dopar% scale_by(i), 1:20 * 3),
    identical(
      foreach(i = 1:3, .combine = rbind) %:% foreach(j = 1:2, .combine = c) %dopar% (10 * i + j),
      foreach(i = 1:3, .combine = rbind) %:% foreach(j = 1:2, .combine = c) %do% (10 * i + j)),
    identical(foreach(i = icount(5)) %:% when(i %% 2 == 1) %dopar% i, list(1L, 3L, 5L)))
  failed <- tryCatch(foreach(i = 1:3) %dopar% if (i == 2) stop("boom") else i, error = identity)
  stopifnot(identical(conditionMessage(failed), "task 2 failed - \"boom\""), failed$task == 2L)
  cl <- makeLambdaCluster(2)
  parallel::clusterExport(cl, "base_value")
  stopifnot(identical(parallel::parSapply(cl, 1:4, function(x) x + base_value), 1:4 + 3))
  parallel::stopCluster(cl)
  stopifnot(doLambdaReport()$failed >= 1)  # what was cancelled may count too
  unregisterDoLambda()
  stopifnot(getDoParName() == "doSEQ")
} else cat("dolambda is not installed here: install_dolambda()\n")
