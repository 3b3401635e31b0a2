from pathlib import Path

import numpy as np
import pytest

from limner.deploy.engine import open_engine
from limner.deploy.manifest import GRAPH
from limner.deploy.runtimes.onnxruntime import OnnxRuntime


@pytest.mark.parametrize(("hint", "spins"), [("latency", "1"), ("throughput", "0")])
def test_threads_and_hint_reach_the_session(engine_directory: Path, hint: str, spins: str) -> None:
    options = OnnxRuntime(engine_directory / GRAPH, threads=1, hint=hint).session.get_session_options()  # type: ignore[arg-type]
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == spins


def test_both_runtimes_agree_on_one_graph(engine_directory: Path) -> None:
    batch = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    with open_engine(engine_directory) as engine:
        np.testing.assert_allclose(
            OnnxRuntime(engine_directory / GRAPH).run({"photo": batch}), engine.infer(batch), atol=1e-4
        )
