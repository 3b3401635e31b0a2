"""The command line; what it converts is tested in tests/core/test_junyanz.py."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner.commands.import_junyanz import main
from limner.core.bundle import load_bundle_config, load_generator
from limner.core.junyanz import load_junyanz
from limner.core.util.errors import UserError, run_command

Run = Callable[[str], str]


@pytest.fixture
def run(
    junyanz_checkpoint: Callable[[int, int], dict[str, torch.Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Runs a command line next to a unet_128's latest_net_G.pth; gives what it logs."""
    caplog.set_level("INFO", "limner")
    monkeypatch.chdir(tmp_path)
    torch.save(junyanz_checkpoint(7, 2), "latest_net_G.pth")

    def command(line: str) -> str:
        main(shlex.split(line))
        return caplog.text

    return command


def test_a_checkpoint_becomes_a_bundle(run: Run) -> None:
    said = run("--checkpoint latest_net_G.pth --norm batch --out models/shoes")
    model = Path("models/shoes")
    assert "a unet of 0.04 M weights, for 128x128 pixels" in said
    assert f"next: limner translate --model {model} PHOTO" in said
    config = load_bundle_config(model)
    assert (config.task, config.image_size, config.fit, config.styles) == ("pix2pix", 128, "stretch", ())
    photo = torch.rand(1, 3, 128, 128) * 2.0 - 1.0
    assert torch.equal(load_generator(model)(photo), load_junyanz(Path("latest_net_G.pth"), "batch")(photo))


def test_nothing_is_overwritten(run: Run) -> None:
    Path("models/shoes").mkdir(parents=True)
    Path("models/shoes/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"shoes exists: give another --out$"):
        run("--checkpoint latest_net_G.pth --norm batch --out models/shoes")
    assert [path.name for path in Path("models").rglob("*")] == ["shoes", "notes.txt"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--checkpoint latest_net_G.pth --norm batch", "--out"),
        ("--checkpoint latest_net_G.pth --out models/a", "--norm"),
        ("--checkpoint latest_net_G.pth --norm layer --out models/a", "layer"),
        ("--checkpoint absent.pth --norm batch --out models/a", "absent.pth: no such file"),
        ("--checkpoint latest_net_G.pth --norm instance --out models/a", "give that"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(run: Run, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run(line)
    assert "\n" not in str(caught.value)
    assert not Path("models").exists()


def test_wrong_input_is_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    absent = tmp_path / "absent.pth"
    options = ["--checkpoint", str(absent), "--norm", "batch", "--out", str(tmp_path / "model")]
    with pytest.raises(SystemExit) as end:
        run_command(lambda: main(options))
    assert end.value.code == 2
    assert (
        capsys.readouterr().err
        == f"error: {absent}: no such file: give the checkpoint of a generator, NAME_net_G.pth\n"
    )
