"""The mirror of a run: committed by its manifests last, never ahead of itself."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from limner.core.config import LaunchConfig
from limner.core.spec import RunSpec
from limner.core.training.checkpoint import list_checkpoints, save_checkpoint
from limner.core.util.errors import UserError
from limner.distributed.storage import Mirror, prepare_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "here" / "run"
    (run / "samples").mkdir(parents=True)
    (run / "samples" / "epoch_0001.png").write_bytes(b"picture")
    (run / "config.json").write_text("{}")
    save_checkpoint(run / "checkpoints", {}, 1, None, keep=2)
    return run


def contents(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_comes_back_as_it_was(run: Path, tmp_path: Path) -> None:
    Mirror(str(tmp_path / "bucket"), run).push()
    elsewhere = tmp_path / "there" / "run"
    assert Mirror(str(tmp_path / "bucket"), elsewhere).pull()
    assert contents(elsewhere).items() == contents(run).items() - {("config.json", b"{}")}  # the driver writes its own
    assert not Mirror(str(tmp_path / "bucket"), elsewhere).pull()


def test_what_was_pruned_here_is_dropped_there(run: Path, tmp_path: Path) -> None:
    mirror = Mirror((tmp_path / "bucket").as_uri(), run)
    mirror.push()
    for seen in (2, 3):
        save_checkpoint(run / "checkpoints", {}, seen, None, keep=2)
        mirror.push()
    there = tmp_path / "bucket" / "run"
    assert [checkpoint.seen_images for checkpoint in list_checkpoints(there / "checkpoints")] == [2, 3]
    assert contents(there) == contents(run)


def test_a_lost_run_gets_all_its_checkpoints_back_and_the_mirror_keeps_its_own(run: Path, tmp_path: Path) -> None:
    """The best too, which is neither here nor among the newest."""
    for seen, score in ((2, 0.1), (3, 0.3), (4, 0.2)):
        save_checkpoint(run / "checkpoints", {}, seen, score, keep=2)
    Mirror(str(tmp_path / "bucket"), run).push()
    elsewhere = tmp_path / "there" / "run"
    mirror = Mirror(str(tmp_path / "bucket"), elsewhere)
    mirror.pull()
    mirror.push()
    for root in (elsewhere, tmp_path / "bucket" / "run"):
        assert [checkpoint.seen_images for checkpoint in list_checkpoints(root / "checkpoints")] == [2, 3, 4]


def test_a_damaged_checkpoint_is_mended_by_its_good_copy(run: Path, tmp_path: Path) -> None:
    mirror = Mirror(str(tmp_path / "bucket"), run)
    mirror.push()
    before = contents(run)
    (run / "checkpoints" / "0000000001" / "state.pt").write_bytes(b"rubbish")
    assert mirror.pull()
    assert contents(run) == before


def test_what_is_newer_here_is_not_taken_back(run: Path, tmp_path: Path) -> None:
    """An older checkpoint is mended beside it, and nothing else is touched."""
    mirror = Mirror(str(tmp_path / "bucket"), run)
    mirror.push()
    save_checkpoint(run / "checkpoints", {}, 2, None, keep=2)
    (run / "samples" / "epoch_0001.png").write_bytes(b"newer")
    before = contents(run)
    shutil.rmtree(run / "checkpoints" / "0000000001")
    assert mirror.pull()
    assert contents(run) == before


def test_a_checkpoint_is_committed_by_its_manifest_and_one_without_is_not_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror(str(tmp_path / "bucket"), run)
    mirror.push()
    save_checkpoint(run / "checkpoints", {}, 2, None, keep=2)
    uploaded: list[str] = []
    upload: Callable[[Path], None] = mirror._upload

    def broken(path: Path) -> None:
        uploaded.append(path.name)
        if path.name == "manifest.json":
            raise OSError("the network is gone")
        upload(path)

    monkeypatch.setattr(mirror, "_upload", broken)
    mirror.push()
    assert "the network is gone: this save is not mirrored" in caplog.text
    assert uploaded == ["state.pt", "manifest.json"]
    elsewhere = tmp_path / "there" / "run"
    assert Mirror(str(tmp_path / "bucket"), elsewhere).pull()
    assert [checkpoint.seen_images for checkpoint in list_checkpoints(elsewhere / "checkpoints")] == [1]


def test_a_mirror_of_another_run_is_refused_and_not_touched(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    """Also where this machine has never seen that run."""
    launch = LaunchConfig(launcher="local", storage=str(tmp_path / "bucket"))
    first = make_spec("run", launch)
    prepare_run(first)
    save_checkpoint(first.run / "checkpoints", {}, 1, None, keep=2)
    Mirror(launch.storage, first.run).push()
    before = contents(tmp_path / "bucket" / "run")
    shutil.rmtree(first.run)
    with pytest.raises(UserError, match="was started with seed 0, not 1"):
        prepare_run(make_spec("run", launch, seed=1))
    with pytest.raises(UserError, match="has checkpoints and --resume is never"):
        prepare_run(make_spec("run", replace(launch, resume="never")))
    assert contents(tmp_path / "bucket" / "run") == before
    assert not first.run.exists()
    prepare_run(first)


@pytest.mark.parametrize("url", ["ftp://host/bucket", "/proc/nowhere"])
def test_storage_that_cannot_be_written_is_one_line(run: Path, url: str) -> None:
    with pytest.raises(UserError, match=f"storage {url}: .*: give a path or URL that can be written"):
        Mirror(url, run)
