"""The command that users type: what it resolves, what it refuses, how it stops and resumes."""

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from limner.commands.train import Command, main
from limner.core.config import LaunchConfig
from limner.core.spec import RunSpec
from limner.core.tasks import TASKS
from limner.core.training.checkpoint import list_checkpoints, load_newest
from limner.core.util.errors import UserError
from limner.core.util.options import options_of
from limner.data_pipeline.importers.synthetic import prepare_built_in

SCRIPT = Path(__file__).parents[3] / "scripts" / "train.py"
TINY = [
    *("--image-size", "64", "--epochs", "2", "--precision", "fp32", "--cpus-per-worker", "1", "--launcher", "local"),
    *("--batch-size", "1", "--generator.width", "4", "--generator.styles", "0", "--discriminator.width", "4"),
]


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    """A dry run in this process sets the threads of a worker."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPT), *map(str, arguments)]


def train(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=cwd)


def error_of(done: "subprocess.CompletedProcess[str]", code: int = 2) -> str:
    """The one line that a failed command says."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_a_dry_run_shows_the_resolved_run_and_its_costs_and_writes_nothing(tiny_data: Path, tmp_path: Path) -> None:
    options = ["pix2pix", "--preset", "lite", "--data", tiny_data, "--image-size", "64", "--optimizer.lr", "1e-3"]
    done = train(*options, "--precision", "fp32", "--loader", "reference", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # and nothing else
    assert done.stderr == "timing steps on generated images\n"
    assert list(tmp_path.iterdir()) == []
    assert found["config"]["generator"]["width"] == 16
    assert found["config"]["generator"]["styles"] == 3
    assert found["config"]["optimizer"] == {**found["config"]["optimizer"], "lr": 1e-3, "beta1": 0.5}
    assert found["run"] == {"directory": str(tmp_path / "runs" / "pix2pix-lite"), "resumes_at_image": 0}
    assert found["data"]["exists"]
    assert found["data"]["images"] == {"train": 11, "val": 2, "test": 1}
    expected = {"device": "cpu", "precision": "fp32", "loader": "reference", "workers": 1, "load_size": 72}
    assert found["resolved"] == {**found["resolved"], **expected, "global_batch": 1, "steps": 11 * 20}
    assert found["time"]["total_s"] == pytest.approx(220 * found["time"]["step_ms"] / 1000.0, abs=1.0)
    assert found["memory_mb"]["image_cache"] == 0
    assert 0 < found["disk_mb"]["model"] < found["disk_mb"]["checkpoint"] < found["disk_mb"]["needed"]


def test_a_dry_run_tells_the_size_of_a_save(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(tiny_data), *TINY, "--run", str(tmp_path / "run"), "--epochs", "1"]
    arguments += ["--generator.width", "32"]  # enough for megabytes
    assert train(*arguments).returncode == 0
    main([*arguments, "--dry-run"])
    found = json.loads(capsys.readouterr().out)
    assert found["run"]["resumes_at_image"] == 11
    assert found["resolved"]["steps"] == 0
    saved = (list_checkpoints(tmp_path / "run" / "checkpoints")[-1].directory / "state.pt").stat().st_size / 1e6
    assert found["disk_mb"]["checkpoint"] == pytest.approx(saved, abs=1.0)
    model = (tmp_path / "run" / "model" / "generator.safetensors").stat().st_size / 1e6
    assert found["disk_mb"]["model"] == pytest.approx(model, abs=1.0)


def test_a_dry_run_does_not_make_the_built_in_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("limner.data_pipeline.importers.synthetic.BUILT_IN_COUNT", 40)
    main(["dcgan", "--condition", "hair", "--generator.width", "2", "--discriminator.width", "2", "--dry-run"])
    found = json.loads(capsys.readouterr().out)
    assert found["data_hash"] is None
    assert not found["data"]["exists"]
    assert found["data"]["images"] == {"train": 38, "val": 2, "test": 20}
    assert found["data"]["styles"][0].startswith("hair ")
    assert any("built-in-64 is not there yet: the run would generate it first" in note for note in found["notes"])
    assert list(tmp_path.iterdir()) == []
    prepare_built_in(Path("data/built-in-64"), 64)
    capsys.readouterr()
    main(["dcgan", "--generator.width", "2", "--discriminator.width", "2", "--dry-run"])
    again = json.loads(capsys.readouterr().out)  # and nothing else
    assert again["data"]["exists"]
    assert again["data"]["images"] == found["data"]["images"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator.styles", "2"], "the dataset drawn portraits has 3"),
        (["--batch-size", "99"], "asks for 99 images at once, the split has 11"),
        (["--precision", "fp16"], "precision fp16 trains on a GPU only"),
        (["--init-from", "nowhere"], "nowhere: not a model bundle"),
        (["--distill-from", "nowhere"], "nowhere: not a model bundle"),
        (["--run", "TAKEN"], "exists and is no run directory"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    tiny_data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    options = [option.replace("TAKEN", str(tmp_path)) for option in arguments]
    run = ["--run", str(tmp_path / "run")]
    with pytest.raises(UserError, match=re.escape(message)):
        main(["--data", str(tiny_data), *TINY, "--gpus-per-worker", "0", *run, *options, "--dry-run"])


def test_help_shows_what_people_use_first_and_help_all_describes_every_option() -> None:
    short, full = train("--preset", "lite", "--help"), train("dcgan", "--help-all")
    assert (short.returncode, short.stderr, full.returncode, full.stderr) == (0, "", 0, "")
    for words in ("[pix2pix|dcgan]", "demo|lite|paper|fast", "--epochs INT", "(default: 20)", "--help-all"):
        assert words in short.stdout
    assert "--generator.width" not in short.stdout
    for words in ("usage: limner train dcgan", "--generator.width", "--diff-augment.cutout", "--gpus-per-worker"):
        assert words in full.stdout


@pytest.mark.parametrize("task", TASKS)
def test_every_option_is_described(task: str) -> None:
    for preset in TASKS[task].presets.values():
        options = list(options_of(Command, Command(preset.config, LaunchConfig())))
        assert len(options) >= 50
        assert [option.name for option in options if not option.description] == []


def test_help_waits_for_no_slow_import() -> None:
    program = (
        "import sys\nfrom limner.commands.train import main\nmain(['--help'])\n"
        "print(sorted({'torch', 'numpy', 'rich', 'ray', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "task", "preset"),
    [
        ([], "pix2pix", "demo"),
        (["dcgan"], "dcgan", "demo"),
        (["dcgan", "--preset=paper"], "dcgan", "paper"),
        (["--preset", "demo", "--preset", "lite"], "pix2pix", "lite"),
    ],
)
def test_nothing_need_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], task: str, preset: str
) -> None:
    launched: list[RunSpec] = []

    def launch(spec: RunSpec) -> bool:
        launched.append(spec)
        return True

    monkeypatch.setattr("limner.data_pipeline.importers.synthetic.BUILT_IN_COUNT", 72)
    monkeypatch.setattr("limner.distributed.ray_train.launch", launch)
    monkeypatch.chdir(tmp_path)
    main(arguments)
    assert [(spec.task, spec.preset) for spec in launched] == [(task, preset)]
    assert launched[0].run == tmp_path / "runs" / f"{task}-{preset}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "quick"], "unknown preset 'quick' of pix2pix (allowed: demo, lite, paper, fast)"),
        (["--preset", "ltie"], "unknown preset 'ltie' of pix2pix: did you mean lite?"),
        (["cyclegan"], "unknown task 'cyclegan': did you mean dcgan? (allowed: pix2pix, dcgan)"),
        (["--data", "nowhere"], "nowhere is not a prepared dataset"),
        (["--generator.widht", "3"], "unknown option --generator.widht: did you mean --generator.width?"),
        (["--epochs", "many"], "--epochs many: must be a whole number (see limner train pix2pix --help)"),
        (["--image-size", "100"], "image-size 100: must be one of"),
        (["--batch-size", "99"], "asks for 99 images at once, the split has 11"),
        (["--generator.styles", "2"], "the dataset drawn portraits has 3; leave it out"),
        (["--precision", "fp16", "--gpus-per-worker", "0"], "precision fp16 trains on a GPU only"),
        (["--init-from", "nowhere"], "nowhere: not a model bundle"),
        (["--distill-from", "nowhere"], "nowhere: not a model bundle"),
    ],
)
def test_wrong_input_is_one_line(tiny_data: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    task = [] if arguments[0].startswith("--") else ["cyclegan"]
    options = arguments if not task else []
    with pytest.raises(UserError, match=re.escape(message)):
        main([*task, "--data", str(tiny_data), *TINY, "--run", str(tmp_path / "run"), *options])
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_end_names_the_model_the_newest_grid_and_what_comes_next(tiny_data: Path, tmp_path: Path) -> None:
    done = train("--data", tiny_data, *TINY, "--generator.styles", "3", "--run", "runs/tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-5:] == [
        f"done: model in {Path('runs/tiny/model')}",
        f"samples: {Path('runs/tiny/samples/epoch_0002.png')}",
        f"next: limner translate PHOTO --model {Path('runs/tiny')} --style outline",
        f"      limner evaluate --model {Path('runs/tiny')} --data {tiny_data}",
        f"      limner build --model {Path('runs/tiny')}",
    ]


def test_another_config_in_the_run_directory_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    arguments = ["--data", tiny_data, *TINY, "--run", tmp_path / "run"]
    assert train(*arguments).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert "was started with seed 0, not 1" in error_of(train(*arguments, "--seed", "1"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(tiny_data: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "run"
    arguments = command("--data", tiny_data, *TINY, "--run", run, "--epochs", "2000")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("loader"))
        process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode == 0
    assert "stopped and saved: the same command again resumes" in said
    stopped = list_checkpoints(run / "checkpoints")[-1].seen_images
    done = train("--data", tiny_data, *TINY, "--run", run, "--epochs", str(stopped // 11 + 1))
    assert done.returncode == 0, done.stderr
    assert f"resuming at image {stopped}" in done.stdout
    assert "done: model in" in done.stdout


def test_torchrun_starts_as_many_workers_as_it_says(tiny_data: Path, tmp_path: Path) -> None:
    """As the README has it, and equal to as many workers of our own."""
    arguments = ["--data", tiny_data, *TINY]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    words = [*torchrun, *command(*arguments, "--run", tmp_path / "theirs")[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert train(*arguments, "--run", tmp_path / "ours", "--workers", "2").returncode == 0
    theirs, ours = (tmp_path / run / "model" / "generator.safetensors" for run in ("theirs", "ours"))
    assert theirs.read_bytes() == ours.read_bytes()
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["launch"]["workers"] == 2


def test_ray_is_not_started_by_each_worker_of_torchrun(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(UserError, match="torchrun starts the workers itself: add --launcher local"):
        main(["--data", str(tiny_data)])


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_is_good(tiny_data: Path, tmp_path: Path) -> None:
    """The limit on file size stands for the disk: the same system error family, and it needs no rights to set."""
    arguments = ["--data", tiny_data, *TINY, "--run", tmp_path / "run"]
    assert train(*arguments, "--epochs", "1").returncode == 0
    state = list_checkpoints(tmp_path / "run" / "checkpoints")[-1].directory / "state.pt"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = state.stat().st_size // 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, preexec_fn=limit)
    assert "no space left in" in error_of(done, code=1)
    assert "resume from image 11" in error_of(done, code=1)
    saved, notes = load_newest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert notes == []
    assert saved["seen_images"] == 11
