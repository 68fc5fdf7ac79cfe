"""R's own foreach on Lambda: each loop gives with %dopar% what it gives with %do%."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda.records.file_format import RunRecord
from dolambda.records.store import RecordStore, records_directory
from support.polling import until

if TYPE_CHECKING:
    from dolambda.records.file_format import Block
    from support.r_session import RSession

pytestmark = pytest.mark.needs("Rscript")

_GOLDEN = Path(__file__).parents[1] / "conformance" / "data" / "r-foreach-golden.jsonl"

# Lines whose outcome is a side effect of the body, which runs elsewhere, or the order of arrival.
_SIDE_EFFECTS = {
    "do_side_effects": "the body assigns to the caller's variable",
    "loop_var_leaks_in_do": "%do% assigns the iteration variable in the caller's frame",
    "err_stop_runs_all": "the body counts in the caller's variable",
    "arity_inorder_false": "the order in which results arrive",
}


def golden() -> list[dict[str, str]]:
    lines = [json.loads(line) for line in _GOLDEN.read_text().splitlines()]
    return [line for line in lines if "%do%" in line["r_code"] and line["id"] not in _SIDE_EFFECTS]


def test_golden_lines_give_with_dopar_what_they_give_with_do(
    r_session: RSession, tmp_path: Path
) -> None:
    lines = golden()
    assert len(lines) > 60
    for line in lines:
        (tmp_path / f"{line['id']}.do").write_text(line["r_code"])
        (tmp_path / f"{line['id']}.dopar").write_text(line["r_code"].replace("%do%", "%dopar%"))
    code = """
    library(iterators)
    if (requireNamespace("itertools", quietly = TRUE)) library(itertools)
    outcome <- function(file) {
      e <- new.env(parent = globalenv())
      set.seed(1)
      printed <- capture.output(
        value <- tryCatch(eval(parse(file), e), error = function(e) list(error = conditionMessage(e))))
      if (is.list(value)) attributes(value) <- attributes(value)["names"]
      value
    }
    for (file in Sys.glob(file.path(Sys.getenv("GOLDEN"), "*.do"))) {
      same <- identical(outcome(file), outcome(paste0(file, "par")))
      cat(sub("[.]do$", "", basename(file)), same, "\\n")
    }
    """
    found = dict(
        line.split() for line in r_session.lines(code, GOLDEN=str(tmp_path)) if " " in line
    )
    assert {line["id"] for line in lines} == set(found)
    assert [name for name, same in found.items() if same != "TRUE"] == []


LOOPS = [
    "foreach(i = 1:40, .combine = c) %WAY% f(i)",
    "foreach(m = iter(matrix(1:12, 3), by = 'col'), .combine = cbind) %WAY% (m * k)",
    "foreach(i = 1:3, .combine = rbind) %:% foreach(j = 1:4, .combine = c) %WAY% (i * 10 + j + k)",
    "foreach(i = 1:5) %:% when(i %% 2 == 1) %:% foreach(j = 1:5) %:% when(i != j) %WAY% c(i, j)",
    "times(4) %WAY% k",
    "foreach(i = 1:3, .combine = '+', .init = 100) %WAY% { x <- i; for (n in 1:3) x <- x + k; x }",
    "foreach(i = 1:2) %WAY% { foreach(j = 1:2, .combine = c) %do% (i * j * k) }",
    "foreach(i = 1:3) %WAY% describe(structure(list(v = i), class = 'mine'))",
    "foreach(i = 1:3) %WAY% shadowing(i)",
    "foreach(i = 1:3) %WAY% list(NULL, NA, 'ä', 1i, quote(a + b), as.raw(i))",
    "local({ k <- 70; h <- function(x) x + k; foreach(i = 1:2) %WAY% (h(i) + base_k()) })",
    "(function(...) foreach(i = 1:2) %WAY% sum(i, ...))(5, 6)",
    "foreach(i = 1:3) %WAY% tables[[i]](i)",
    "foreach(d = isplit(mtcars$mpg, mtcars$cyl), .combine = c) %WAY% median(d$value)",
    "foreach(i = 1:3, .combine = c) %WAY% predict(lm(mpg ~ wt, mtcars), data.frame(wt = i))[[1]]",
    "foreach(i = 1:3) %:% foreach(j = iter(letters[1:i]), .combine = c) %WAY% paste(i, j)",
    "foreach(i = 1:2) %WAY% vectorized(1:3, i)",
    "foreach(i = 1:2) %WAY% do.call('f', list(i))",
    "foreach(i = 1:2) %WAY% sapply(1:2, 'f')",
    "foreach(i = 1:2) %WAY% (get('k') + .GlobalEnv$k)",
    "(function(...) foreach(i = 1:2) %WAY% (..1 + ...length() + i))(5, 6)",
    "(function(...) foreach(i = 1:2) %WAY% sapply(i, ...))(function(x) x + k)",
    "foreach(one = tables) %WAY% one(1)",
    "foreach(n = 1:2) %:% foreach(one = list(function(x) x + k, f)) %WAY% one(n)",
    "foreach(i = 1:2) %WAY% area(new('Square', side = i))",
    "foreach(s = list(new('Square', side = 3))) %WAY% list(area(s), (s + s)@side, length(s))",
    "foreach(i = 1:2) %WAY% tryCatch(new('Square', side = -i), error = function(e) 'refused')",
    "foreach(i = 1:2) %WAY% Account$new(total = i)$add(1)",
    "(function(a, b) foreach(i = 1:2) %WAY% c(missing(a), if (!missing(b)) b * i))(b = 3)",
    "(function(a) foreach(i = 1:2) %WAY% (function(a) missing(a))())(1)",
]


def test_loops_give_with_dopar_what_they_give_with_do(r_session: RSession, tmp_path: Path) -> None:
    for number, loop in enumerate(LOOPS):
        (tmp_path / f"{number:02}.do").write_text(loop.replace("%WAY%", "%do%"))
        (tmp_path / f"{number:02}.dopar").write_text(loop.replace("%WAY%", "%dopar%"))
    code = """
    library(iterators)
    k <- 2
    base_k <- function() k
    g <- function(x) x * k
    f <- function(x) { y <- g(x); y + 1 }
    describe <- function(x) UseMethod("describe")
    describe.mine <- function(x) paste("mine", x$v, helper())
    helper <- function() "helped"
    shadowing <- function(helper) { k <- helper; k + base_k() }
    vectorized <- Vectorize(function(a, b) a + b * k)
    setClass("Square", representation(side = "numeric"),
      validity = function(object) if (object@side < 0) paste(helper(), "not") else TRUE)
    setGeneric("area", function(shape) standardGeneric("area"))
    setMethod("area", "Square", function(shape) shape@side^2 * k)
    setMethod("+", signature("Square", "Square"), function(e1, e2) new("Square", side = e1@side + e2@side))
    setMethod("length", "Square", function(x) 4L)
    Account <- setRefClass("Account", fields = list(total = "numeric"),
      methods = list(add = function(n) { total <<- total + n * k; total }))
    tables <- list(function(x) x, function(x) g(x), function(x) f(x))
    for (file in sort(Sys.glob(file.path(Sys.getenv("LOOPS"), "*.do")))) {
      a <- eval(parse(paste0(file, "par")))
      b <- eval(parse(file))
      cat(identical(a, b), "\\n")
    }
    """
    found = r_session.lines(code, LOOPS=str(tmp_path))
    found = found[1:]  # what setGeneric() prints
    assert len(found) == len(LOOPS)
    assert [loop for loop, same in zip(LOOPS, found, strict=True) if same != "TRUE "] == []


def test_results_and_arguments_of_any_size_arrive_whole(r_session: RSession) -> None:
    code = """
    n <- 3e6  # doubles: 23 MB
    large <- seq_len(n) + 0.5
    small <- foreach(i = 1:3) %dopar% i
    x <- foreach(i = 1:3) %dopar% if (i == 2) seq_len(n) + 0.5 else i
    cat(identical(x, list(1L, large, 3L)), "")
    y <- foreach(v = list(1, large, raw())) %dopar% v
    cat(identical(y, list(1, large, raw())), "")
    e <- tryCatch(foreach(i = 1) %dopar% stop(structure(class = c("mine", "error", "condition"),
      list(message = "large", call = NULL, v = seq_len(n) + 0.5))), error = identity)
    cat(identical(e$parent$v, large), "\\n")
    to <- rawConnection(raw(), "wb")
    doLambda:::write_bytes(to, as.raw(1:25), at_once = 10, slice = 4)
    cat(identical(rawConnectionValue(to), as.raw(1:25)), "\\n")
    """
    assert r_session.lines(code) == ["TRUE TRUE TRUE ", "TRUE "]


def test_what_a_task_assigns_stays_in_the_task(r_session: RSession) -> None:
    code = """
    k <- 2
    print(unlist(foreach(i = 1:2) %dopar% { k <- k + i; k }))
    print(k)
    """
    assert r_session.lines(code) == ["[1] 3 4", "[1] 2"]


def test_dorng_gives_the_same_random_numbers_on_any_backend(r_session: RSession) -> None:
    code = """
    suppressPackageStartupMessages(library(doRNG))
    loop <- function() foreach(i = 1:7, .combine = c) %dorng% rnorm(1)
    registerDoSEQ(); set.seed(42); expected <- loop()
    register(); set.seed(42); found <- loop()
    cat(identical(expected, found), "\\n")
    twice <- function() { registerDoRNG(7); list(foreach(i = 1:3) %dopar% runif(1), foreach(i = 1:3) %dopar% runif(1)) }
    found <- twice()
    registerDoSEQ(); expected <- twice()
    cat(identical(expected, found), identical(found[[1]], found[[2]]), "\\n")
    """
    assert r_session.lines(code) == ["TRUE ", "TRUE FALSE "]


def test_loops_of_one_session_do_not_see_each_others_variables(r_session: RSession) -> None:
    code = """
    secret <- 1
    x <- foreach(i = 1:4) %dopar% { secret; Sys.sleep(0.1) }
    rm(secret)
    print(unlist(foreach(i = 1:4) %dopar% exists("secret")))
    """
    assert r_session.lines(code) == ["[1] FALSE FALSE FALSE FALSE"]


def test_classes_that_are_no_longer_defined_are_gone_from_the_workers(r_session: RSession) -> None:
    code = """
    setClass("Square", representation(side = "numeric"))
    known <- function() any(unlist(foreach(i = 1:8) %dopar% { Sys.sleep(0.05); isClass("Square") }))
    before <- known()
    invisible(removeClass("Square"))
    cat(before, known(), "\\n")
    """
    assert r_session.lines(code) == ["TRUE FALSE "]


def test_what_another_r_session_left_on_a_worker_is_not_seen(r_session: RSession) -> None:
    left = 'x <- foreach(i = 1:8) %dopar% { assign("left", i, globalenv()); Sys.sleep(0.1) }'
    seen = 'cat(any(unlist(foreach(i = 1:8) %dopar% { Sys.sleep(0.1); exists("left") })), "")'
    assert r_session.lines(left + "\n" + seen) == ["TRUE "]
    assert r_session.lines(seen) == ["FALSE "]


def test_a_named_run_sends_only_what_has_no_reply_yet(r_session: RSession) -> None:
    code = """
    x <- foreach(i = 1:5, .combine = c, .options.dolambda = list(run = "nightly")) %dopar% i^2
    cat(x, "/", doLambdaReport()$restored, "\\n")
    """
    assert r_session.lines(code) == ["1 4 9 16 25 / 0 "]
    assert r_session.lines(code) == ["1 4 9 16 25 / 5 "]


def test_a_record_has_the_memory_and_the_time_of_r(r_session: RSession) -> None:
    """R is a program that the worker's process has started; advice on memory depends on it."""
    code = """
    foreach(i = 1:4) %dopar% {
      held <- numeric(25e6)
      end <- proc.time()[["elapsed"]] + 0.3
      while (proc.time()[["elapsed"]] < end) held[1] <- i
      length(held)
    }
    cat("ended\\n")
    """
    assert r_session.lines(code)[-1] == "ended"
    store = RecordStore(records_directory())

    def recorded() -> Block:
        return RunRecord.from_bytes(store.find("last").read_bytes()).tasks

    until(lambda: len(recorded()) == 4)  # R does not wait for its bridge, which writes the record
    tasks = recorded()
    assert max(tasks.peak) > 200
    assert sum(tasks.cpu) > 0.2


def test_what_a_task_prints_is_seen_while_it_runs(r_session: RSession, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"""
    register(logs = "live")
    x <- foreach(i = 1) %dopar% {{
      cat("begun\\n")
      for (turn in 1:600) if (file.exists("{seen}")) break else Sys.sleep(0.1)
      cat("ended\\n")
      turn < 600
    }}
    cat(x[[1]], "\\n")
    """
    process = r_session.start(code)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "[task 1] begun\n"
        seen.touch()
        printed, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert printed.splitlines() == ["[task 1] ended", "TRUE "], errors


def test_results_are_combined_in_their_order_however_they_arrive(r_session: RSession) -> None:
    code = """
    first_last <- function(n) foreach(i = seq_len(n), .combine = c, .options.dolambda = list(batch = 1))
    x <- first_last(9) %dopar% { if (i == 1) Sys.sleep(1); if (i %% 4 != 0) i }
    y <- foreach(i = 1:3, .combine = c) %:% foreach(j = 1:5, .combine = "-", .options.dolambda = list(batch = 1)) %dopar%
      { if (j == 1) Sys.sleep(0.3); i * 10 + j }
    z <- foreach(i = 1:7, .combine = "+", .inorder = FALSE) %dopar% i
    cat(x, "/", y, "/", z, "\\n")
    x <- foreach(i = 1:4, .errorhandling = "remove") %dopar% tryCatch(stop(i), error = identity)
    cat(length(x), "\\n")
    """
    assert r_session.lines(code) == ["1 2 3 5 6 7 9 / -43 -73 -103 / 28 ", "0 "]


def test_loops_in_a_body_are_compiled(r_session: RSession) -> None:
    code = """
    x <- foreach(i = 1:2, .combine = c) %dopar% {
      for (k in 1) how <- typeof(get("expr", parent.frame()))
      how
    }
    cat(x, "\\n")
    """
    assert r_session.lines(code) == ["bytecode bytecode "]
