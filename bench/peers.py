"""The same trivial tasks by dolambda and by its peers, in the same run, each in a process of its
own.

On the simulated AWS (`simulated_aws`; workers that take no time, 50 ms an invocation, 20 ms an
object): dolambda by queue and direct, one task a job and batched, and Lithops with its own AWS
backend (`lithops_adapter`). On the emulated AWS the same, with the same two workers, for which
Lithops alone takes some minutes. loky and dask on this machine, for orientation.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import results
from dolambda import LambdaExecutor
from dolambda.money.prices import PRICES
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.simulation import Simulation, session_on

if TYPE_CHECKING:
    from dolambda.session import Session

WORKERS = 1000
INSTANT = Behaviour(cold_start=0.0, warm_start=0.0, event_delay=0.0, burst=100_000)
SIZES = (1_000, 10_000)
ON_THE_EMULATOR = 1_000


def same(x: int) -> int:
    return x


def by_session(session: Session, tasks: int, batch: int | None) -> dict[str, Any]:
    with LambdaExecutor(batch=1, session=session) as executor:
        list(executor.map(same, range(8)))  # connections are there
        with results.Stopwatch() as one:
            executor.submit(same, 1).result()
    before = session.report()
    with results.Stopwatch() as watch, LambdaExecutor(batch=batch, session=session) as executor:
        assert list(executor.map(same, range(tasks))) == list(range(tasks))
    after = session.report()
    calls = {name: after.calls[name] - before.calls.get(name, 0) for name in after.calls}
    calls["invocations"] = after.jobs - before.jobs
    calls.pop("lambda:InvokeFunction", None)  # the same as the invocations
    return watch.told(one=one.wall, calls={name: count for name, count in calls.items() if count})


def dolambda_simulated(
    endpoint_url: str, key: str, transport: str, tasks: int, batch: int | None
) -> dict[str, Any]:
    session = session_on(endpoint_url, bytes.fromhex(key), workers=WORKERS, transport=transport)
    try:
        return by_session(session, tasks, batch)
    finally:
        session.close()


def dolambda_emulated(
    transport: Literal["queue", "direct"], tasks: int, batch: int | None
) -> dict[str, Any]:
    from dolambda import register, unregister  # noqa: PLC0415 - only here

    session = register("local", requires=(), progress=False, transport=transport, workers=2)
    try:
        return by_session(session, tasks, batch)
    finally:
        unregister()


def lithops(executor: Any, tasks: int) -> dict[str, Any]:
    with contextlib.redirect_stdout(sys.stderr):
        executor.get_result(executor.map(same, range(8)))
        with results.Stopwatch() as one:
            executor.get_result(executor.map(same, [1]))
        with results.Stopwatch() as watch:
            assert executor.get_result(executor.map(same, range(tasks))) == list(range(tasks))
    return watch.told(one=one.wall)


def lithops_simulated(endpoint_url: str, tasks: int) -> dict[str, Any]:
    import lithops_adapter  # noqa: PLC0415 - only where Lithops is installed

    where = {
        "key": "simulated",
        "secret": "simulated",
        "bucket": "bucket",
        "role": "arn:aws:iam::000000000000:role/r",
    }  # no secrets
    return lithops(
        lithops_adapter.executor(endpoint_url, workers=WORKERS, deployed=True, **where), tasks
    )


def lithops_emulated(tasks: int) -> dict[str, Any]:
    import boto3  # noqa: PLC0415 - only here

    import lithops_adapter  # noqa: PLC0415 - only where Lithops is installed
    from dolambda.local.instance import Instance  # noqa: PLC0415 - only here

    instance = Instance.from_start(workers=2)
    try:
        root = boto3.Session(instance.key, instance.secret, region_name="us-east-1")
        root.client("s3", endpoint_url=instance.endpoint_url).create_bucket(Bucket="lithops-bench")
        iam = root.client("iam", endpoint_url=instance.endpoint_url)
        may = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [may]})
        role = iam.create_role(RoleName="lithops", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        anything = (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
        )
        iam.put_role_policy(RoleName="lithops", PolicyName="all", PolicyDocument=anything)
        where = {
            "key": instance.key,
            "secret": instance.secret,
            "bucket": "lithops-bench",
            "role": role,
        }
        return lithops(
            lithops_adapter.executor(instance.endpoint_url, workers=2, deployed=False, **where),
            tasks,
        )
    finally:
        instance.stop()


def loky(tasks: int) -> dict[str, Any]:
    from joblib.externals.loky import get_reusable_executor  # noqa: PLC0415 - only here

    executor = get_reusable_executor(2)
    list(executor.map(same, range(8)))
    with results.Stopwatch() as one:
        executor.submit(same, 1).result()
    with results.Stopwatch() as watch:
        assert list(executor.map(same, range(tasks))) == list(range(tasks))
    executor.shutdown()
    return watch.told(one=one.wall)


def dask(tasks: int) -> dict[str, Any]:
    from distributed import Client, LocalCluster  # noqa: PLC0415 - only here

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(same, range(8)))
        with results.Stopwatch() as one:
            client.submit(same, 1).result()
        with results.Stopwatch() as watch:
            assert client.gather(client.map(same, range(10, tasks + 10))) == list(
                range(10, tasks + 10)
            )
        return watch.told(one=one.wall)


def cost(calls: dict[str, int], tasks: int) -> float:
    """Dollars a million tasks, for requests and invocations alone."""
    prices = PRICES["x86_64"]
    dollars = (
        sum(prices.s3.get(name, 0.0) * count for name, count in calls.items())
        + calls.get("invocations", 0) * prices.invocation
    )
    return dollars / tasks * 1e6


def row(name: str, tasks: int, found: dict[str, Any], against: dict[str, Any] | None) -> str:
    calls = found.get("calls", {})
    named = ", ".join(
        f"{count:,} {action.removeprefix('s3:').removeprefix('lambda:')}"
        for action, count in sorted(calls.items())
    )
    faster = f"{against['wall'] / found['wall']:.0f} x" if against else ""
    sooner = f"{against['one'] / found['one']:.0f} x" if against else ""
    dollars = f"{cost(calls, tasks):.2f}" if calls else ""
    return (
        f"| {name} | {tasks:,} | {found['wall']:.2f} | {tasks / found['wall']:,.0f} | {faster} | "
        f"{found['one'] * 1e3:.0f} | {sooner} "
        f"| {found['cpu'] / tasks * 1e3:.2f} | {found['peak']:.0f} | {named} | {dollars} |"
    )


HEAD = [
    (
        "| who | tasks | s | tasks/s | faster | one task, ms | sooner | client CPU, ms a task | "
        "client MB | AWS calls | $ a million |"
    ),
    "|---|---|---|---|---|---|---|---|---|---|---|",
]
OURS = [
    ("queue", "queue", 1),
    ("direct", "direct", 1),
    ("queue, batched", "queue", None),
    ("direct, batched", "direct", None),
]


def simulated(drawn: list[tuple[str, int, float]]) -> list[str]:
    rows = []
    with Simulation(INSTANT) as simulation:
        for tasks in SIZES:
            simulation.tell("/_function", {"kind": "lithops"})
            theirs = results.apart(
                "lithops_simulated", endpoint_url=simulation.endpoint_url, tasks=tasks
            )
            theirs["calls"] = simulation.seen()["calls"]
            theirs["calls"] = {
                name: theirs["calls"][name]
                for name in theirs["calls"]
                if name[:3] == "s3:" or name == "invocations"
            }
            rows.append(row("Lithops", tasks, theirs, None))
            drawn.append(("Lithops", tasks, theirs["wall"]))
            for name, transport, batch in OURS:
                key = os.urandom(32).hex()
                simulation.tell("/_function", {"kind": "dolambda", "key": key})
                where = {"endpoint_url": simulation.endpoint_url, "key": key}
                ours = results.apart(
                    "dolambda_simulated", **where, transport=transport, tasks=tasks, batch=batch
                )
                rows.append(row(f"dolambda, {name}", tasks, ours, theirs))
                drawn.append((f"dolambda, {name}", tasks, ours["wall"]))
    return [
        f"Simulated AWS, {WORKERS:,} workers at a time:",
        "",
        *HEAD,
        *rows,
        "",
        "An executor's end waits until its objects are removed, 2,000 a second: S3 takes 3,500",
        "writes a second under a prefix. With one task a job, that is most of the queue's time.",
        "",
    ]


def emulated() -> list[str]:
    tasks = ON_THE_EMULATOR
    theirs = results.apart("lithops_emulated", tasks=tasks)
    rows = [row("Lithops", tasks, theirs, None)]
    for name, transport, batch in OURS:
        rows.append(
            row(
                f"dolambda, {name}",
                tasks,
                results.apart("dolambda_emulated", transport=transport, tasks=tasks, batch=batch),
                theirs,
            )
        )
    return ["AWS emulated on this machine, the same two workers:", "", *HEAD, *rows, ""]


def here() -> list[str]:
    rows = [
        row(who, tasks, results.apart(who, tasks=tasks), None)
        for who in ("loky", "dask")
        for tasks in SIZES
    ]
    return ["This machine, two processes, no AWS:", "", *HEAD, *rows, ""]


def picture(drawn: list[tuple[str, int, float]]) -> str:
    import matplotlib as mpl  # noqa: PLC0415 - only here

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice above

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    names = list(dict.fromkeys(name for name, _, _ in drawn))
    for at, tasks in enumerate(SIZES):
        walls = [
            next(wall for who, count, wall in drawn if (who, count) == (name, tasks))
            for name in names
        ]
        places = [place + 0.4 * at for place in range(len(names))]
        bars = axes.barh(
            places, walls, height=0.38, label=f"{tasks:,} tasks", color=("#9ab8d8", "#2f5f8f")[at]
        )
        axes.bar_label(bars, [f" {wall:.2f} s" for wall in walls], fontsize=8)
    axes.set_yticks([place + 0.2 for place in range(len(names))], names)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 3)
    axes.invert_yaxis()
    axes.set_xlabel("seconds, logarithmic: less is better")
    axes.set_title(f"Trivial tasks on a simulated AWS, {WORKERS:,} workers", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    results.PICTURES.mkdir(exist_ok=True)
    figure.savefig(results.PICTURES / "peers.svg")
    return "![seconds for trivial tasks](pictures/peers.svg)"


def measure() -> list[str]:
    drawn: list[tuple[str, int, float]] = []
    return [*simulated(drawn), *emulated(), *here(), picture(drawn)]


if __name__ == "__main__":
    results.main(
        "Peers",
        measure,
        dolambda_simulated=dolambda_simulated,
        dolambda_emulated=dolambda_emulated,
        lithops_simulated=lithops_simulated,
        lithops_emulated=lithops_emulated,
        loky=loky,
        dask=dask,
    )
