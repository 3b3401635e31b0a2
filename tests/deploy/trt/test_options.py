import pytest

from limner.core.util.errors import UserError
from limner.deploy.trt.options import TensorRTOptions


@pytest.mark.parametrize(
    ("options", "message"), [({"level": 6}, "tensorrt.level 6: must be 0 to 5"), ({"workspace_gb": 0.0}, "more than 0")]
)
def test_options_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TensorRTOptions(**options)  # type: ignore[arg-type]
