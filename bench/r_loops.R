# Loops on two local workers of doLambda, and on doParallel's. Prints rows of a table.
suppressPackageStartupMessages({ library(foreach); library(doLambda); library(doParallel) })

row <- function(loop, backend, run) {
  best <- min(vapply(1:3, function(k) system.time(run())[["elapsed"]], 1))
  cat(sprintf("| %s | %s | %.2f |\n", loop, backend, best))
}
trivial <- function() foreach(i = 1:10000, .combine = c) %dopar% i

registerDoLambda("local", workers = 2, progress = FALSE)
invisible(foreach(i = 1:8) %dopar% Sys.sleep(0.2))  # both workers are warm
row("10,000 trivial tasks", "doLambda", trivial)
row("one task", "doLambda", function() foreach(i = 1) %dopar% i)
m <- matrix(runif(13e6), 1000)
row("a matrix of 100 MB shared by 50 tasks", "doLambda", function() foreach(i = 1:50) %dopar% m[i, 1])
unregisterDoLambda()

cl <- makeCluster(2)
registerDoParallel(cl)
invisible(trivial())
row("10,000 trivial tasks", "doParallel, PSOCK cluster of 2", trivial)
row("one task", "doParallel, PSOCK cluster of 2", function() foreach(i = 1) %dopar% i)
row("a matrix of 100 MB shared by 50 tasks", "doParallel, PSOCK cluster of 2",
  function() foreach(i = 1:50, .export = "m") %dopar% m[i, 1])
stopCluster(cl)

registerDoParallel(cores = 2)
row("10,000 trivial tasks", "doParallel, 2 forks", trivial)
registerDoSEQ()
row("10,000 trivial tasks", "doSEQ", trivial)
