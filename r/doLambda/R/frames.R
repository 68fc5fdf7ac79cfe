# Frames to and from the bridge. What they are is written in dolambda's r/frames.py.

KIND <- list(
  REGISTER = 1L, LOOP = 2L, PART = 3L, FUNCTION = 4L, TASKS = 5L, SKIP = 6L, CLOSE = 7L,
  CANCEL = 8L, REPORT = 9L, READY = 101L, ERROR = 102L, RESULTS = 103L, OUTPUT = 104L,
  PROGRESS = 105L, TICK = 106L, CANCELLED = 107L, REPORTED = 108L, NOTICE = 109L)

SEPARATOR <- "\x1e"
LARGEST <- 2^30   # bytes that are read or written at once: R's limit is 2^31 - 1
SLICE <- 2^24     # ... of more than that
SMALL <- 2^16     # bytes that are copied into one piece
SILENCE <- 60     # seconds without a sign of life after which the bridge is taken to hang

# Return a condition of dolambda's: one class for each of Python's, and "doLambdaError".
lambda_condition <- function(class, what, hint = "", ...) {
  message <- if (nzchar(hint)) paste0(what, "\n  ", hint) else what
  structure(
    class = unique(c(class, "doLambdaError", "error", "condition")),
    list(message = message, call = NULL, ...))
}

lambda_stop <- function(what, hint = "", class = "doLambdaError")
  stop(lambda_condition(class, what, hint))

as_texts <- function(data) {
  if (length(data) == 0L) return(character())
  text <- rawToChar(data)
  Encoding(text) <- "UTF-8"
  # strsplit drops an empty text at the end
  strsplit(paste0(text, SEPARATOR), SEPARATOR, fixed = TRUE)[[1L]]
}

as_fields <- function(data) {
  texts <- as_texts(data)
  odd <- seq_along(texts) %% 2L == 1L
  structure(as.list(texts[!odd]), names = texts[odd])
}

from_fields <- function(fields) {
  fields <- fields[!vapply(fields, is.null, TRUE)]
  texts <- vapply(fields, function(value)
    paste(format(value, trim = TRUE, digits = 17L, scientific = FALSE), collapse = ","), "")
  text <- paste(c(rbind(names(fields), texts)), collapse = SEPARATOR)
  charToRaw(enc2utf8(text))
}

int_bytes <- function(numbers) writeBin(as.integer(numbers), raw(), endian = "big")
as_ints <- function(data) readBin(data, "integer", length(data) / 4, endian = "big")
as_doubles <- function(data) readBin(data, "double", length(data) / 8, endian = "big")
double_bytes <- function(numbers) writeBin(as.double(numbers), raw(), endian = "big")

# A slice needs an index of eight times its size, so only what is too long for R at once is sliced.
write_bytes <- function(con, data, at_once = LARGEST, slice = SLICE) {
  if (length(data) <= at_once) return(writeBin(data, con))
  at <- 0
  while (at < length(data)) {
    end <- min(at + slice, length(data))
    writeBin(data[(at + 1):end], con)
    at <- end
  }
}

# Read that many bytes; fewer when the bridge ends or stalls.
read_bytes <- function(con, size) {
  pieces <- list()
  while (size > 0) {
    piece <- readBin(con, "raw", min(size, LARGEST))
    if (length(piece) == 0L) break
    pieces[[length(pieces) + 1L]] <- piece
    size <- size - length(piece)
  }
  if (length(pieces) == 1L) pieces[[1L]] else do.call(c, c(list(raw()), pieces))
}

# Read the pieces of a frame of results: their number, their heads, and each by itself.
read_results <- function(con, size) {
  count <- read_bytes(con, 4)
  if (length(count) < 4L) return(list(count))
  heads <- read_bytes(con, 16 * as_ints(count))
  if (length(heads) < 16 * as_ints(count)) return(list(count, heads))
  sizes <- as_doubles(as.vector(matrix(heads, 16L)[9:16, ]))
  c(list(count, heads), lapply(sizes, read_bytes, con = con))
}

# Send a frame of pieces. An interrupt waits until it is sent whole.
send_frame <- function(bridge, kind, loop = 0L, ...) {
  check_bridge(bridge)
  pieces <- list(...)
  size <- sum(lengths(pieces))
  head <- c(int_bytes(c(kind, loop)), double_bytes(size))
  sent <- tryCatch(suspendInterrupts({
    if (size < SMALL) writeBin(c(head, unlist(pieces, use.names = FALSE)), bridge$con)
    else for (piece in c(list(head), pieces)) write_bytes(bridge$con, piece)
    TRUE
  }), error = function(e) FALSE)
  if (!sent) bridge_ended(bridge)
}

# Wait for a frame, and read it whole: an interrupt comes before or after. NULL after `wait` seconds.
receive_frame <- function(bridge, wait = SILENCE) {
  check_bridge(bridge)
  if (!socketSelect(list(bridge$con), FALSE, wait)) return(NULL)
  frame <- suspendInterrupts({
    head <- readBin(bridge$con, "integer", 2L, endian = "big")
    size <- readBin(bridge$con, "double", 1L, endian = "big")
    read <- if (length(size) && head[[1L]] == KIND$RESULTS) read_results else read_bytes
    data <- if (length(size)) read(bridge$con, size)
    if (length(size) && sum(lengths(data)) == size) list(kind = head[[1L]], loop = head[[2L]], data = data)
  })
  if (is.null(frame)) bridge_ended(bridge)
  frame
}

# Return the next frame of a loop. Those of other loops wait until these ask for them.
next_frame <- function(bridge, loop, wait = SILENCE) {
  key <- as.character(loop)
  if (length(bridge$inbox[[key]])) {
    frame <- bridge$inbox[[key]][[1L]]
    bridge$inbox[[key]] <- bridge$inbox[[key]][-1L]
    return(frame)
  }
  patience <- wait
  repeat {
    frame <- receive_frame(bridge, patience)
    if (is.null(frame)) {
      if (wait < SILENCE) return(NULL)
      end_bridge(bridge)
      lambda_stop(
        sprintf("the bridge to Lambda has given no sign of life for %d s", SILENCE),
        "Register again: registerDoLambda().", "bridgeError")
    }
    if (frame$kind == KIND$TICK) next
    if (frame$kind == KIND$NOTICE) {
      message(as_texts(frame$data))
      next
    }
    if (frame$loop == loop) return(frame)
    other <- as.character(frame$loop)
    if (!is.null(bridge$inbox[[other]]))
      bridge$inbox[[other]] <- c(bridge$inbox[[other]], list(frame))
  }
}
