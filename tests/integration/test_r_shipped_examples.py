"""The examples and tests that foreach, doParallel and doRNG ship, on our backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.r_session import RSession

pytestmark = pytest.mark.needs("Rscript")

# The others need packages or files that are not there, print times, or compute for long.
EXAMPLES = ["colMeans", "feapply", "for", "matmul", "pi", "qsort"]


def test_foreachs_examples_print_what_they_print_in_sequence(r_session: RSession) -> None:
    names = ", ".join(f'"{name}.R"' for name in EXAMPLES)
    code = f"""
    library(iterators)
    printed <- function(name) {{
      set.seed(1)
      file <- system.file("examples", name, package = "foreach", mustWork = TRUE)
      capture.output(source(file, local = new.env(parent = globalenv())))
    }}
    names <- c({names})
    found <- lapply(names, printed)
    registerDoSEQ()
    expected <- lapply(names, printed)
    for (k in seq_along(names)) cat(names[k], length(found[[k]]) > 0, identical(found[[k]], expected[[k]]), "\\n")
    """
    assert r_session.lines(code) == [f"{name}.R TRUE TRUE " for name in EXAMPLES]


def test_doparallels_own_test_passes_on_our_backend(r_session: RSession) -> None:
    code = """
    checks <- 0
    checkEquals <- function(found, expected) {
      stopifnot(isTRUE(all.equal(found, expected)))
      checks <<- checks + 1
    }
    source(system.file("unitTests", "options.R", package = "doParallel", mustWork = TRUE))
    test.preschedule()
    cat(getDoParName(), checks, "\\n")
    """
    assert r_session.lines(code, seconds=170) == ["doLambda 120 "]


def test_the_examples_of_help_pages_run_on_our_backend(r_session: RSession) -> None:
    """Those of doRNG stop where a loop cannot be repeated; those of foreach print their values."""
    code = """
    suppressPackageStartupMessages({ library(iterators); library(doParallel); library(doRNG) })
    data <- doLambda:::registered$data
    on_lambda <- function(...) setDoPar(doLambda:::do_lambda, data, doLambda:::lambda_info)
    makeCluster <- stopCluster <- function(...) NULL
    printed <- function(package, page, register) {
      assign("registerDoParallel", register, globalenv())
      register()
      file <- tempfile(fileext = ".R")
      tools::Rd2ex(tools::Rd_db(package)[[page]], file)
      set.seed(1)
      text <- capture.output(source(file, local = new.env(parent = globalenv()), print.eval = TRUE))
      list(text, getDoParName())
    }
    for (page in c("doRNG-package.Rd", "registerDoRNG.Rd", "grapes-dorng-grapes.Rd")) {
      found <- printed("doRNG", page, on_lambda)
      cat(page, length(found[[1]]) > 0, "\\n")
    }
    found <- printed("foreach", "foreach.Rd", on_lambda)
    expected <- printed("foreach", "foreach.Rd", function(...) registerDoSEQ())
    cat(length(found[[1]]) > 20, identical(found[[1]], expected[[1]]), found[[2]], expected[[2]], "\\n")
    """
    assert r_session.lines(code) == [
        "doRNG-package.Rd TRUE ",
        "registerDoRNG.Rd TRUE ",
        "grapes-dorng-grapes.Rd TRUE ",
        "TRUE TRUE doLambda doSEQ ",
    ]
