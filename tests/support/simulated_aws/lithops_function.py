"""Lithops's worker, in no time: what it reads and writes (lithops 3.8, worker/handler.py and
monitoring/status.py), without its processes.

On entry: the payload of Lithops's invoker; on leaving: a status object for each call, which holds
the result, and its start's mark.
"""

from __future__ import annotations

import itertools
import json
import pickle
import time
from typing import TYPE_CHECKING, Any

from support.simulated_aws.functions import Ran

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.simulated_aws.fleet import Environment
    from support.simulated_aws.store import Store


class Lithops:
    """Lithops's function."""

    def __init__(self, store: Store, latency: float) -> None:
        self._store = store
        self._latency = latency
        self._functions: dict[str, Any] = {}
        self._activations = itertools.count()

    def __call__(self, event: Mapping[str, Any], environment: Environment) -> Ran:
        key = event["func_key"]
        if key not in self._functions:
            # Our own benchmark's.
            self._functions[key] = pickle.loads(pickle.loads(self._store.objects[key])["func"])  # noqa: S301
        function = self._functions[key]
        # Lithops counts its idle workers by these.
        activation = f"{environment.name}-{next(self._activations)}"
        puts: list[tuple[str, bytes]] = []
        for call, data in zip(event["call_ids"], self._data(event), strict=True):
            begun = time.time()
            arguments = pickle.loads(data)  # noqa: S301 - as above
            result = pickle.dumps(function(**arguments))
            job = f"lithops.jobs/{event['executor_id']}-{event['job_id']}/{call}"
            status = {
                "exception": False,
                "activation_id": activation,
                "python_version": "3",
                "worker_start_tstamp": begun,
                "worker_end_tstamp": time.time(),
                "worker_func_start_tstamp": begun,
                "worker_func_end_tstamp": time.time(),
                "worker_func_exec_time": 0.0,
                "worker_result_upload_time": 0,
                "worker_cold_start": environment.cold,
                "host_submit_tstamp": event["host_submit_tstamp"],
                "call_id": call,
                "job_id": event["job_id"],
                "executor_id": event["executor_id"],
                "chunksize": event["chunksize"],
                "worker_calls": 1,
                "func_result_size": len(result),
                "result": str(result),
                "type": "__end__",
            }
            puts += [
                (f"{job}/{activation}.init", b""),
                (f"{job}/status.json", json.dumps(status).encode()),
            ]
        # Two reads and a write one after the other, the start's mark while the function runs.
        return Ran(3 * self._latency, b"{}", puts)

    def _data(self, event: Mapping[str, Any]) -> list[bytes]:
        if not event["data_key"]:
            import ast  # noqa: PLC0415 - as Lithops sends bytes in JSON

            return [
                ast.literal_eval(text) if isinstance(text, str) else text
                for text in event["data_byte_strs"]
            ]
        data = self._store.objects[event["data_key"]]
        return [data[first : last + 1] for first, last in event["data_byte_ranges"]]
