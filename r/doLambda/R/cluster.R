makeLambdaCluster <- function(n = NULL, ...) stop("not yet")
print.LambdaCluster <- function(x, ...) invisible(x)
print.LambdaNode <- function(x, ...) invisible(x)
