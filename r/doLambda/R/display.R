# What tasks print, and how far a loop is.

display <- function(logs, progress) {
  shown <- FALSE
  bar <- function(facts) {
    cat(sprintf("\r%s of %s tasks, %s running, %s s, $%.4f ", facts$done, facts$tasks, facts$running,
      format(round(as.numeric(facts$elapsed))), as.numeric(facts$cost)), file = stderr())
    shown <<- TRUE
  }
  list(
    output = function(texts) {
      if (identical(logs, FALSE) || (identical(logs, "errors") && texts[[2L]] != "1")) return()
      if (shown) cat("\n", file = stderr())
      shown <<- FALSE
      lines <- strsplit(texts[[3L]], "\n", fixed = TRUE)[[1L]]
      cat(sprintf("[task %s] %s\n", texts[[1L]], lines), sep = "")
    },
    progress = function(facts) if (isTRUE(progress)) bar(facts),
    end = function() if (shown) cat("\n", file = stderr()))
}
