"""Of joblib's suite only what names our backend is run; what cannot pass says why."""

from __future__ import annotations

from typing import Any

import pytest

from dolambda.joblib import NAME, LambdaBackend

_CHILD = (
    "a process that the test starts has not imported dolambda, so joblib does not know the "
    "name there"
)
_MANAGER = (
    "its tasks talk to a multiprocessing.Manager on this machine, which a worker elsewhere cannot"
)
_MEMMAP = (
    "it wants arrays to be np.memmap, files of this machine; ours arrive read-only too, but "
    "are no memmaps"
)
_PRIVATE = (
    "it looks at private attributes of joblib's AutoBatchingMixin; our batch sizes are "
    "learnt by scheduler/batching.py"
)
_WHY_NOT = {
    "test_nested_loop[loky-dolambda]": _CHILD,
    "test_nested_loop[back_compat_backend-dolambda]": _CHILD,
    "test_backend_nesting_level[parallel_config-dolambda-loky]": _CHILD,
    "test_backend_nesting_level[parallel_backend-dolambda-loky]": _CHILD,
    "test_parallel_with_interactively_defined_functions[dolambda]": _CHILD,
    "test_dispatch_multiprocessing[dolambda]": _MANAGER,
    "test_initializer_context[parallel_config-dolambda-2]": _MANAGER,
    "test_initializer_context[parallel_config-dolambda-4]": _MANAGER,
    "test_initializer_context[parallel_backend-dolambda-2]": _MANAGER,
    "test_initializer_context[parallel_backend-dolambda-4]": _MANAGER,
    "test_initializer_parallel[dolambda-2]": _MANAGER,
    "test_initializer_parallel[dolambda-4]": _MANAGER,
    "test_auto_memmap_on_arrays_from_generator[dolambda]": _MEMMAP,
    "test_memmapping_leaks[dolambda]": _MEMMAP,
    "test_backend_batch_statistics_reset[dolambda]": _PRIVATE,
}
# joblib expects a failure of loky's there; ours passes.
_LOKY_255 = "https://github.com/joblib/loky/pull/255"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect and explain."""
    others = [
        item
        for item in items
        if item.path.name == "test_joblib_parallel.py" and not _names_us(item)
    ]
    config.hook.pytest_deselected(items=others)
    gone = set(others)
    items[:] = [item for item in items if item not in gone]
    for item in items:
        item.own_markers = [
            mark for mark in item.own_markers if mark.kwargs.get("reason") != _LOKY_255
        ]
        if item.path.name == "test_joblib_parallel.py" and item.name in _WHY_NOT:
            item.add_marker(pytest.mark.xfail(reason=_WHY_NOT[item.name], strict=True))


def _names_us(item: Any) -> bool:
    params = getattr(item, "callspec", None)
    return (
        any(value == NAME or isinstance(value, LambdaBackend) for value in params.params.values())
        if params
        else False
    )
