# Loops on two local workers of doLambda, and on doParallel's. Prints rows of a table.
suppressPackageStartupMessages({ library(foreach); library(doLambda); library(doParallel) })

times <- list()
measure <- function(loop, backend, run, repeats = 3) {
  each <- vapply(seq_len(repeats), function(k) system.time(run())[["elapsed"]], 1)
  times[[loop]][[backend]] <<- c(times[[loop]][[backend]], each)
}
trivial <- function() foreach(i = 1:10000, .combine = c) %dopar% i
one <- function() foreach(i = 1) %dopar% i
m <- matrix(runif(13e6), 1000)
shared <- function() foreach(i = 1:50, .export = "m") %dopar% m[i, 1]
TRIVIAL <- "10,000 trivial tasks"
ONE <- "one task"
SHARED <- "a matrix of 100 MB shared by 50 tasks"
PSOCK <- "doParallel, PSOCK cluster of 2"
FORKS <- "doParallel, 2 forks"

registerDoLambda("local", workers = 2, progress = FALSE)
lambda <- doLambda:::registered$data
cl <- makeCluster(2)
on_lambda <- function() setDoPar(doLambda:::do_lambda, lambda, doLambda:::lambda_info)
on_psock <- function() registerDoParallel(cl)
on_forks <- function() registerDoParallel(cores = 2)
invisible(foreach(i = 1:8) %dopar% Sys.sleep(0.2))  # both workers are warm
on_psock()
invisible(trivial())

# In turns, so that what else the machine does counts for all alike.
for (round in 1:5) {
  on_lambda()
  measure(TRIVIAL, "doLambda", trivial, 2)
  on_psock()
  measure(TRIVIAL, PSOCK, trivial, 1)
  on_forks()
  measure(TRIVIAL, FORKS, trivial, 2)
  registerDoSEQ()
  measure(TRIVIAL, "doSEQ", trivial, 1)
}
on_lambda()
measure(ONE, "doLambda", one, 5)
measure(SHARED, "doLambda", shared)
on_psock()
measure(ONE, PSOCK, one, 5)
measure(SHARED, PSOCK, shared)

for (loop in names(times)) for (backend in names(times[[loop]])) {
  ours <- times[[loop]][["doLambda"]]
  theirs <- times[[loop]][[backend]]
  cat(sprintf("| %s | %s | %.2f | %.2f | %.2f x |\n", loop, backend, min(theirs), median(theirs), median(ours) / median(theirs)))
}
stopCluster(cl)
unregisterDoLambda()
