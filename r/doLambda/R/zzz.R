.onLoad <- function(libname, pkgname) {
  parallel <- asNamespace("parallel")
  methods <- list(
    sendData = list("LambdaNode", sendData.LambdaNode),
    recvData = list("LambdaNode", recvData.LambdaNode),
    recvOneData = list("LambdaCluster", recvOneData.LambdaCluster),
    closeNode = list("LambdaNode", closeNode.LambdaNode),
    stopCluster = list("LambdaCluster", stopCluster.LambdaCluster))
  for (generic in names(methods))
    registerS3method(generic, methods[[generic]][[1L]], methods[[generic]][[2L]], envir = parallel)
}
