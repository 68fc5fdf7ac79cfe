"""A cluster on Lambda gives what one of parallel's own processes gives: parallel, boot, doParallel,
future.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from support.polling import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.r_session import RSession

pytestmark = pytest.mark.needs("Rscript")

COMPARE = """
library(parallel)
y <- 5
cl <- makeLambdaCluster(4)
ps <- makeCluster(4)
compare <- function(name, use) cat(name, isTRUE(all.equal(use(cl), use(ps), tolerance = 0)), "\\n")
"""

PARALLEL = """
compare("parLapply", function(cl) parLapply(cl, 1:20, function(x) x^2))
compare("parLapplyLB", function(cl) parLapplyLB(cl, 1:20, function(x) x^2))
compare("clusterExport", function(cl) {
  clusterExport(cl, "y"); clusterEvalQ(cl, { z <- y * 2; library(splines); NULL })
  parSapply(cl, 1:9, function(x) x + y + z + nrow(bs(1:10))) })
compare("a later export", function(cl) {
  y <- 50; clusterExport(cl, "y", environment()); parSapply(cl, 1:9, function(x) x + y + z) })
compare("clusterMap", function(cl) clusterMap(cl, function(a, b) a * b, 1:7, 7:1))
compare("clusterApplyLB", function(cl) clusterApplyLB(cl, 1:9, function(x) { Sys.sleep(0.01 * (10 - x)); x }))
compare("random streams", function(cl) {
  clusterSetRNGStream(cl, 123)
  one <- parSapply(cl, 1:8, function(i) rnorm(1))
  list(one, parSapply(cl, 1:8, function(i) rnorm(1))) })
compare("a variable drawn once", function(cl) {
  clusterSetRNGStream(cl, 5)
  clusterEvalQ(cl, drawn <- rnorm(1))
  lapply(1:5, function(k) clusterApply(cl, 1:4, function(i) drawn)) })
compare("parApply", function(cl) parApply(cl, matrix(1:12, 3), 1, sum))
compare("an error", function(cl)
  tryCatch(parLapply(cl, 1:4, function(x) if (x == 3) stop("three") else x), error = conditionMessage))
compare("clusterCall", function(cl) clusterCall(cl, function(a) a + 1, 41))
compare("a failed clusterEvalQ", function(cl) tryCatch(clusterEvalQ(cl, stop("no")), error = conditionMessage))
compare("after it", function(cl) parSapply(cl, 1:3, function(x) x + z))
compare("some of the nodes", function(cl) parSapply(cl[2:3], 1:5, function(x) x * y))
"""

PACKAGES = {
    "boot": """
compare("boot", function(cl) {
  set.seed(1)
  statistic <- function(d, i) sum(d$x[i]) / sum(d$u[i])
  boot::boot(boot::city, statistic, R = 99, parallel = "snow", ncpus = 4, cl = cl)$t })
""",
    "caret": """
compare("caret", function(cl) suppressPackageStartupMessages({
  library(caret)
  doParallel::registerDoParallel(cl)
  set.seed(7)
  folds <- trainControl(method = "cv", number = 4)
  train(mpg ~ wt + hp, mtcars, method = "knn", trControl = folds, tuneLength = 2)$results }))
""",
    "doParallel": """
compare("doParallel", function(cl) {
  doParallel::registerDoParallel(cl)
  clusterExport(cl, "y")
  f <- function(x) x * y
  list(foreach(i = 1:20, .combine = c) %dopar% f(i),
    foreach(i = 1:3, .packages = "splines") %dopar% dim(bs(1:10 + i))) })
""",
    "future.apply": """
compare("future", function(cl) suppressWarnings({
  future::plan(future::cluster, workers = cl)
  a <- 3
  found <- list(
    future.apply::future_lapply(1:10, function(x) x * a),
    future.apply::future_sapply(1:6, function(i) rnorm(1), future.seed = 42L),
    future::value(future::future(a + 1)))
  future::plan(future::sequential)
  found }))
""",
    "furrr": """
compare("furrr", function(cl) suppressWarnings({
  future::plan(future::cluster, workers = cl)
  b <- 4
  found <- furrr::future_map(1:6, function(x) x * b)
  future::plan(future::sequential)
  found }))
""",
    "pbapply": """
compare("pbapply", function(cl) {
  pbapply::pboptions(type = "none")
  clusterExport(cl, "y")
  pbapply::pblapply(1:30, function(x) x + y, cl = cl) })
""",
}


def test_it_gives_what_a_cluster_of_processes_gives(r_session: RSession) -> None:
    lines = r_session.lines(COMPARE + PARALLEL, seconds=170)
    assert len(lines) == PARALLEL.count("\ncompare(")
    assert [line for line in lines if not line.endswith(" TRUE ")] == []


def test_packages_that_take_a_cluster_take_it(r_session: RSession) -> None:
    code = COMPARE
    for package, use in PACKAGES.items():
        code += f'if (requireNamespace("{package}", quietly = TRUE)) {{ {use} }}\n'
    lines = r_session.lines(code, seconds=170)
    compared = [line.split() for line in lines if not line.startswith("[task ")]
    assert {"boot", "doParallel"} <= {name for name, _ in compared}
    assert [name for name, same in compared if same != "TRUE"] == []


def test_what_a_node_printed_is_not_shown_again_when_another_worker_repeats_it(
    r_session: RSession,
) -> None:
    code = """
    library(parallel)
    cl <- makeLambdaCluster(4)
    clusterSetRNGStream(cl, 1)  # the nodes differ from here on: a worker that turns to another begins again
    x <- clusterCall(cl, function() { cat("printed\\n"); message("told"); drawn <<- rnorm(1) })
    for (k in 1:3) y <- clusterApply(cl, 1:4, function(i) { cat("value\\n"); drawn })
    cat(identical(x, y), "\\n")
    """
    lines = r_session.lines(code)
    assert lines.pop() == "TRUE "
    words = [line.partition("] ")[2] for line in lines]
    assert sorted(words) == ["printed"] * 4 + ["told"] * 4 + ["value"] * 12


def test_replies_from_before_an_interrupt_are_not_taken_for_later_ones(
    r_session: RSession, tmp_path: Path
) -> None:
    process = r_session.start(
        """
        register()
        library(parallel)
        cl <- makeLambdaCluster(3)
        begun <- Sys.getenv("BEGUN")
        x <- tryCatch(parLapply(cl, 1:3, function(i, begun) {
          if (i == 3) { file.create(begun); Sys.sleep(3) }
          -i }, begun = begun), interrupt = function(i) cat("interrupted\\n"))
        for (k in 1:3) cat(unlist(parLapply(cl, 1:6, function(i, k) i * k, k = k)), "\\n")
        stopCluster(cl)
        """,
        BEGUN=str(tmp_path / "begun"),
    )
    until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert printed == "interrupted\n1 2 3 4 5 6 \n2 4 6 8 10 12 \n3 6 9 12 15 18 \n", errors


def test_a_stopped_cluster_says_so_and_a_wrong_number_of_nodes_is_refused(
    r_session: RSession,
) -> None:
    code = """
    library(parallel)
    message_of <- function(value) cat(sub("\\n.*", "", tryCatch(value, error = conditionMessage)), "\\n")
    cl <- makeLambdaCluster()
    cat(length(cl), "\\n")
    stopCluster(cl)
    message_of(parLapply(cl, 1:2, identity))
    message_of(makeLambdaCluster(0))
    message_of(makeLambdaCluster("four"))
    print(unlist(foreach(i = 1:2) %dopar% i))
    """
    assert r_session.lines(code) == [
        "2 ",
        "the cluster has been stopped ",
        "n must be a whole number from 1, got 0 ",
        'n must be a whole number from 1, got "four" ',
        "[1] 1 2",
    ]
