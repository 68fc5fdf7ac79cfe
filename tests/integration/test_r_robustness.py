"""What goes wrong in an R session's loops, and what of it the user sees."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.polling import until

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.r_session import RSession

pytestmark = pytest.mark.needs("Rscript")

OUTCOME = """
outcome <- function(value) tryCatch(value, error = function(e) {
  cat(class(e)[1], ": ", sub("\\n", " HINT ", conditionMessage(e)), "\\n", sep = "")
})
"""


def test_what_tasks_do_to_themselves_is_told_by_number(r_session: RSession) -> None:
    code = """
    x <- outcome(foreach(i = 1:4) %dopar% if (i == 2) quit() else i)
    x <- outcome(foreach(i = 1:4, .errorhandling = "remove") %dopar%
      if (i == 2) { cat("last words\\n"); tools::pskill(Sys.getpid(), 9) } else i)
    cat(unlist(x), "\\n")
    x <- foreach(i = 1:2, .errorhandling = "pass", .options.dolambda = list(task_timeout = 3)) %dopar%
      if (i == 2) Sys.sleep(100) else i
    cat(x[[1]], class(x[[2]])[1], conditionMessage(x[[2]]), "\\n")
    x <- outcome(foreach(i = 1:3) %dopar% if (i > 1) stop("boom ", i) else i)
    x <- outcome(foreach(i = 1:2, .packages = "nosuchpackage") %dopar% i)
    x <- outcome(foreach(i = 1:2) %dopar% nosuchfunction(i))
    x <- outcome(foreach(i = 1) %dopar% doLambda::registerDoLambda("local"))
    """
    lines = r_session.lines(OUTCOME + code)
    assert lines[0].startswith('doLambdaTaskError: task 2 failed - "R ended during the task: exit')
    assert lines[1:3] == ["[task 2] last words", "1 3 4 "]
    assert lines[3].startswith("1 TaskTimedOutError task 2 was stopped after 3.")
    assert 'doLambdaTaskError: task 2 failed - "boom 2"' in lines
    assert any("there is no package called" in line for line in lines)
    assert any('could not find function "nosuchfunction"' in line for line in lines)
    assert "doLambda was registered in a task, but workers have no client" in lines[-1]


def test_a_task_that_takes_too_much_memory_fails_alone(r_session: RSession) -> None:
    code = """
    x <- foreach(i = 1:3, .errorhandling = "pass") %dopar% if (i == 2) length(rep(1, 4e8)) else i
    cat(x[[1]], x[[3]], class(x[[2]])[1], conditionMessage(x[[2]]), "\\n")
    """
    lines = r_session.lines(code)
    assert lines[0].startswith("1 3 OutOfMemoryError R ran out of memory: it had used ")
    assert "of the worker's 1,769 MB when it needed more" in lines[0]


def test_what_cannot_be_sent_is_told_before_anything_is(r_session: RSession) -> None:
    code = """
    x <- outcome(foreach(i = 1:2, .export = "nosuchvar") %dopar% i)
    x <- outcome(foreach(i = 1:2, .options.dolambda = list(taks_timeout = 1)) %dopar% i)
    x <- outcome(foreach(i = 1:2, .options.dolambda = list(budget = -1)) %dopar% i)
    x <- outcome(foreach(i = 1:2, .options.dolambda = 7) %dopar% i)
    big <- runif(1e6)
    h <- local({ huge <- runif(2e6); function(x) x })
    x <- outcome(foreach(i = 1:2, .options.dolambda = list(max_size = 4e6)) %dopar% { h(i); big[i] })
    print(doLambdaReport()$tasks)
    x <- foreach(i = 1:2, .noexport = c("big", "h"), .options.dolambda = list(max_size = 4e6)) %dopar%
      { if (i > 2) h(big); i }
    outcome(registerDoLambda("local", max_size = "big"))
    outcome(registerDoLambda("local", progress = "yes"))
    outcome(registerDoLambda("local", budget = -1))
    outcome(registerDoLambda("local", logs = "all"))
    """
    lines = r_session.lines(OUTCOME + code)
    assert lines.pop() == (
        'ConfigurationError: logs must be "relay", "errors", "live" or FALSE, got "all"'
    )
    assert lines.pop().startswith("ConfigurationError: budget=-1")
    assert lines.pop() == 'ConfigurationError: progress must be TRUE or FALSE, got "yes"'
    assert lines.pop() == 'ConfigurationError: max_size must be a number of bytes, got "big"'
    assert lines[0] == 'simpleError: unable to find variable "nosuchvar"'
    assert lines[1].startswith(
        "ConfigurationError: unknown option of a loop: taks_timeout HINT   Known names:"
    )
    assert lines[2].startswith("ConfigurationError: budget")
    assert lines[3].startswith("ConfigurationError: .options.dolambda is not a list with names")
    assert lines[4].startswith(
        "TooLargeError: what the tasks share is 22.9 MB, more than the 3.8 MB"
    )
    assert (
        "h (15.3 MB), a function whose environment holds huge (15.3 MB); big (7.6 MB)" in lines[4]
    )
    assert lines[5:] == ["[1] 0"]


def test_a_matrix_that_tasks_and_loops_share_is_sent_once(r_session: RSession) -> None:
    code = """
    m <- matrix(runif(2e6), 1000)  # 16 MB
    x <- foreach(i = 1:50, .combine = c) %dopar% m[i, 1]
    y <- foreach(i = 1:50, .combine = c) %dopar% m[i, 2]
    cat(identical(x, m[1:50, 1]), identical(y, m[1:50, 2]), doLambdaReport()$sent / 16e6, "\\n")
    """
    [line] = r_session.lines(code)
    first, second, share = line.split()
    assert (first, second) == ("TRUE", "TRUE")
    assert 0.5 < float(share) < 1.1  # compressed; twice would be 1.4


def test_the_users_random_numbers_are_not_touched(r_session: RSession) -> None:
    code = """
    suppressPackageStartupMessages({ library(foreach); library(doLambda) })
    set.seed(7); expected <- { x <- foreach(i = 1:3) %do% i; runif(2) }
    set.seed(7); before <- .Random.seed
    register()
    cat(identical(before, .Random.seed), "")
    x <- foreach(i = 1:3) %dopar% i
    cat(identical(runif(2), expected), "")
    report <- doLambdaReport(); unregisterDoLambda()
    set.seed(7); y <- foreach(x = irnorm(2, count = 20), .combine = c) %do% sum(x)
    register()
    set.seed(7); z <- foreach(x = irnorm(2, count = 20), .combine = c) %dopar% sum(x)
    cat(identical(y, z))
    """
    assert r_session.run("library(iterators)" + code) == "TRUE TRUE TRUE"


def test_what_tasks_print_and_warn_is_shown_with_their_number(r_session: RSession) -> None:
    code = """
    x <- foreach(i = 1:2) %dopar% {
      message("a message"); system("echo of a program"); print(i); if (i == 2) warning("careful"); i }
    withCallingHandlers(
      x <- foreach(i = 1:2) %dopar% { if (i == 2) warning("careful"); i },
      warning = function(w) { cat("warned:", conditionMessage(w), "\\n"); invokeRestart("muffleWarning") })
    e <- tryCatch(foreach(i = 1:2) %dopar% { f <- function() stop("deep"); f() }, error = identity)
    cat(e$task, e$trace, sep = " | ")
    """
    lines = r_session.lines(code)
    assert {"[task 1] a message", "[task 2] of a program", "[task 2] [1] 2"} <= set(lines)
    assert "warned: task 2: careful " in lines
    assert lines[-1] == '1 | f() | stop("deep")'


def test_notices_and_warnings_of_the_python_side_are_shown(r_session: RSession) -> None:
    code = """
    told <- character()
    withCallingHandlers({
      register(workers = 2)
      x <- outcome(foreach(i = 1:20) %dopar% if (i == 3) stop("boom") else i)
    }, message = function(m) { told <<- c(told, conditionMessage(m)); invokeRestart("muffleMessage") })
    cat(told, sep = "")
    """
    printed = r_session.run(OUTCOME + code, DOLAMBDA_MEMROY="1024").splitlines()
    assert printed == [
        'doLambdaTaskError: task 3 failed - "boom"',
        "dolambda: the variable DOLAMBDA_MEMROY is not a setting: did you mean DOLAMBDA_MEMORY?",
    ]


def test_verbose_lists_what_is_sent_and_progress_counts(r_session: RSession) -> None:
    code = """
    register(progress = TRUE, workers = 1)
    k <- 2
    f <- function(x) x + k
    x <- foreach(i = 1:3, .verbose = TRUE, .packages = "MASS") %dopar% f(i)
    cat(getDoParWorkers(), getDoParName(), "\\n")
    """
    process = r_session.start(code)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    lines = printed.splitlines()
    assert lines[0].startswith("exporting: ")
    assert set(lines[0].removeprefix("exporting: ").split(", ")) == {"f", "k "}
    assert {"got results for task 1", "got results for task 3"} <= set(lines)
    assert lines[-1] == "1 doLambda "
    assert "3 of 3 tasks, 0 running" in errors


def test_credentials_go_through_the_connection_alone(r_session: RSession, tmp_path: Path) -> None:
    code = """
    given <- list(key = Sys.getenv("TEST_KEY"), secret = Sys.getenv("TEST_SECRET"),
      region = Sys.getenv("TEST_REGION"), endpoint_url = Sys.getenv("TEST_ENDPOINT"))
    Sys.unsetenv(c("TEST_KEY", "TEST_SECRET"))
    do.call(registerDoLambda, given)
    place <- doLambda:::registered$bridge$directory
    cat(place, file = file.path(Sys.getenv("PLACE"), "bridge"))
    cat(unlist(foreach(i = 1:2) %dopar% i), list.files(place), "\\n")
    flush(stdout())
    Sys.sleep(60)
    """
    process = r_session.start(code, PLACE=str(tmp_path))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "1 2 log \n"  # the tokens' file is gone
        seen = b"".join(
            Path(f"/proc/{bridge_of(tmp_path)}/{name}").read_bytes()
            for name in ("cmdline", "environ")
        )
        log = Path((tmp_path / "bridge").read_text(), "log").read_bytes()
    finally:
        process.kill()
        process.communicate()
    secret = str(r_session.credentials.secret).encode()
    assert b"TEST_REGION" in seen
    assert secret not in seen + log


def test_a_failed_task_runs_again_as_often_as_asked(r_session: RSession, tmp_path: Path) -> None:
    code = """
    tried <- Sys.getenv("TRIED")
    x <- foreach(i = 1:2, .combine = c, .options.dolambda = list(retries = 2)) %dopar% {
      if (i == 2) cat("x", file = tried, append = TRUE)
      if (i == 2 && file.size(tried) < 3) stop("not yet")
      i
    }
    report <- doLambdaReport()
    cat(x, "/", report$done, report$failed, report$retried)
    """
    assert r_session.lines(code, TRIED=str(tmp_path / "tried")) == ["1 2 / 2 0 2"]


def test_a_printed_report_says_how_many_requests_were_throttled(r_session: RSession) -> None:
    code = """
    x <- foreach(i = 1:2) %dopar% i
    report <- doLambdaReport()
    cat(report$throttles, grepl("throttled", paste(capture.output(report), collapse = " ")), "\\n")
    report$throttles <- 3
    cat(capture.output(report)[2], "\\n")
    """
    none, some = r_session.lines(code)
    assert none.split() == ["0", "FALSE"]
    assert some.rstrip().endswith("AWS requests (3 throttled)")


def test_an_endless_iterator_ends_with_the_first_error(r_session: RSession) -> None:
    code = """
    library(iterators)
    x <- outcome(foreach(i = icount()) %dopar% if (i == 700) stop("enough") else i)
    """
    assert r_session.lines(OUTCOME + code) == ['doLambdaTaskError: task 700 failed - "enough"']


def test_an_interrupt_cancels_and_the_session_goes_on(
    r_session: RSession, admin: Account, tmp_path: Path
) -> None:
    before = jobs_left(admin)
    process = r_session.start(
        """
        register()
        begun <- Sys.getenv("BEGUN")
        x <- tryCatch(foreach(i = 1:50) %dopar% { file.create(begun); Sys.sleep(20) },
          interrupt = function(i) cat("interrupted\\n"))
        cat(unlist(foreach(i = 1:3) %dopar% i), "\\n")
        """,
        BEGUN=str(tmp_path / "begun"),
    )
    until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert printed == "interrupted\n1 2 3 \n", errors
    until(lambda: jobs_left(admin) <= before)


LOOP = """
register()
pids <- file.path(Sys.getenv("PLACE"), "pids")
cat(doLambda:::registered$bridge$directory, file = file.path(Sys.getenv("PLACE"), "bridge"))
options <- list(task_timeout = if (nzchar(Sys.getenv("LIMIT"))) as.numeric(Sys.getenv("LIMIT")))
x <- outcome(foreach(i = 1:10, .options.dolambda = options) %dopar% { cat(Sys.getpid(), "\\n", file = pids, append = TRUE); Sys.sleep(60) })
x <- outcome(foreach(i = 1:2) %dopar% i)
"""


def test_a_killed_bridge_is_an_error_and_leaves_no_process(
    r_session: RSession, tmp_path: Path
) -> None:
    """Nobody is left to cancel the tasks, so their time limit ends them, or the function's."""
    process = r_session.start(OUTCOME + LOOP, PLACE=str(tmp_path), LIMIT="4")
    workers = when_running(tmp_path)
    bridge = bridge_of(tmp_path)
    os.kill(bridge, signal.SIGKILL)
    printed, _ = process.communicate(timeout=120)
    assert printed.splitlines() == [
        "bridgeError: the bridge to Lambda has ended HINT   Register again: registerDoLambda().",
        (
            "bridgeError: the bridge to Lambda has been closed HINT   Register again: "
            "registerDoLambda()."
        ),
    ]
    until(lambda: not any(map(is_running, workers)))


def test_a_killed_r_session_leaves_no_bridge_and_no_running_task(
    r_session: RSession, admin: Account, tmp_path: Path
) -> None:
    before = jobs_left(admin)  # of clients that were killed: they expire
    process = r_session.start(OUTCOME + LOOP, PLACE=str(tmp_path))
    workers = when_running(tmp_path)
    bridge = bridge_of(tmp_path)
    with process:  # which closes its pipes
        process.kill()
    until(lambda: not is_running(bridge))
    until(lambda: not any(map(is_running, workers)))
    until(lambda: jobs_left(admin) <= before)


def test_an_r_session_that_is_killed_while_it_registers_leaves_no_bridge(
    r_session: RSession, tmp_path: Path
) -> None:
    code = """
    trace(doLambda:::await_ready, quote({
      cat(bridge$directory, file = file.path(Sys.getenv("PLACE"), "part"))
      file.rename(file.path(Sys.getenv("PLACE"), "part"), file.path(Sys.getenv("PLACE"), "bridge"))
    }), print = FALSE, where = asNamespace("doLambda"))
    registerDoLambda("local", progress = FALSE)
    """
    process = r_session.start(code, PLACE=str(tmp_path))
    until((tmp_path / "bridge").exists)
    bridge = bridge_of(tmp_path)
    directory = Path((tmp_path / "bridge").read_text())
    with process:  # which closes its pipes
        process.kill()
    until(lambda: not is_running(bridge))
    until(lambda: not directory.exists())


def test_a_killed_r_of_a_worker_costs_one_task(r_session: RSession, tmp_path: Path) -> None:
    code = """
    pids <- file.path(Sys.getenv("PLACE"), "pids")
    x <- foreach(i = 1:6, .errorhandling = "remove", .combine = c) %dopar% {
      if (i == 3) { cat(Sys.getpid(), "\\n", file = pids); Sys.sleep(300) }; i }
    cat(x, "\\n")
    """
    process = r_session.start(f"register()\n{code}", PLACE=str(tmp_path))
    [worker] = when_running(tmp_path)
    os.kill(worker, signal.SIGKILL)
    printed, errors = process.communicate(timeout=120)
    assert printed == "1 2 4 5 6 \n", errors


def when_running(place: Path) -> list[int]:
    """Return the processes of the workers' R, once there are any."""
    file = place / "pids"
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    return [int(pid) for pid in file.read_text().split()]


def bridge_of(place: Path) -> int:
    """Return the bridge that an R session has started: its command names a directory."""
    directory = (place / "bridge").read_text().encode()
    found = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if {b"-m", directory} <= set(command_of(process))
    ]
    return min(found)  # what it is just starting is a copy of it for a moment


def command_of(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def jobs_left(admin: Account) -> set[str]:
    s3 = admin.client("s3")
    return {
        found["Key"]
        for bucket in s3.list_buckets()["Buckets"]
        for found in s3.list_objects_v2(Bucket=bucket["Name"], Prefix="jobs/").get("Contents", [])
    }
