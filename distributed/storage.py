"""A run's mirror on a shared path or in object storage, where its checkpoints outlive the machine.

Object storage cannot rename, so a checkpoint there is committed by its manifest, which is uploaded last and deleted
first; a checkpoint without one is ignored.
"""

import logging
from pathlib import Path, PurePosixPath

import pyarrow.fs as pafs

from limner.core.spec import CONFIG, RunSpec, check_resumable, prepare_run_dir
from limner.core.training.checkpoint import MANIFEST, is_intact, list_checkpoints
from limner.core.util.errors import LimnerError, UserError

BLOCK = 8 << 20
log = logging.getLogger("limner")


def prepare_run(spec: RunSpec) -> None:
    """Prepare the run directory, and check its mirror if it has one, so that neither resumes another run."""
    mirror = Mirror(spec.launch.storage, spec.run) if spec.launch.storage else None
    if mirror is not None:
        mirror.check(spec)
    prepare_run_dir(spec)
    if mirror is not None:
        mirror.push_config()


class Mirror:
    """Mirrors one run directory to `url`/RUN_NAME and restores it."""

    def __init__(self, url: str, run: Path) -> None:
        """url: a path, or a URL that Arrow knows (s3://, gs://, file://, ...); UserError if it cannot be reached."""
        self._run = run
        try:
            uri = url if "://" in url else Path(url).expanduser().absolute().as_uri()
            self._filesystem, base = pafs.FileSystem.from_uri(uri)
            self._root = PurePosixPath(base) / run.name
            self._filesystem.create_dir(str(self._root), recursive=True)
        except (OSError, ValueError) as error:
            raise UserError(f"storage {url}: {error}: give a path or URL that can be written") from error

    def check(self, spec: RunSpec) -> None:
        """UserError where the mirror holds another run, or any under `--resume never`; nothing is changed."""
        if not self._remote_checkpoints():
            return
        if spec.launch.resume == "never":
            raise UserError(
                f"storage {self._root} has checkpoints and --resume is never: give another --storage or --run"
            )
        with self._filesystem.open_input_stream(str(self._root / CONFIG)) as source:
            check_resumable(spec, source.read().decode(), self._root / CONFIG)

    def push_config(self) -> None:
        """Upload config.json, which only the driver has if workers run on other machines."""
        self._upload(self._run / CONFIG)

    def push(self) -> None:
        """Upload the run: its new checkpoints, each committed by its manifest, and all else; delete what was pruned.

        A failing storage is a warning and does not stop the run: the next push uploads what this one did not.
        """
        try:
            self._push()
        except OSError as error:
            log.warning("storage %s: %s: this save is not mirrored, the next one uploads it too", self._root, error)

    def _push(self) -> None:
        local = {checkpoint.directory.name for checkpoint in list_checkpoints(self._run / "checkpoints")}
        remote = self._remote_checkpoints()
        for name in sorted(local - remote):
            files = sorted((self._run / "checkpoints" / name).iterdir(), key=lambda path: path.name == MANIFEST)
            for path in files:
                self._upload(path)
        for path in sorted(self._run.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(self._run).parts)
            if path.is_file() and not hidden and "checkpoints" not in path.relative_to(self._run).parts:
                self._upload(path)
        for name in sorted(remote - local):
            self._filesystem.delete_file(str(self._root / "checkpoints" / name / MANIFEST))
            self._filesystem.delete_dir(str(self._root / "checkpoints" / name))

    def pull(self) -> bool:
        """Download the checkpoints that are missing or damaged here; returns whether there were any.

        The rest of the run comes with them if the newest there is newer than the newest good one here.
        """
        try:
            return self._pull()
        except OSError as error:
            raise LimnerError(f"storage {self._root}: {error}: repair it, or resume without --storage") from error

    def _pull(self) -> bool:
        found = list_checkpoints(self._run / "checkpoints")
        here = {checkpoint.directory.name for checkpoint in found if is_intact(checkpoint.directory)}
        wanted = self._remote_checkpoints() - here
        if not wanted:
            return False
        behind = max(wanted) > max(here, default="")
        selector = pafs.FileSelector(str(self._root), recursive=True)
        files = [PurePosixPath(info.path) for info in self._filesystem.get_file_info(selector) if info.is_file]
        for path in sorted(files, key=lambda path: path.name == MANIFEST):
            relative = path.relative_to(self._root)
            if relative == PurePosixPath(CONFIG):  # the driver has checked it and written its own
                continue
            if relative.parts[1] in wanted if relative.parts[0] == "checkpoints" else behind:
                self._download(path, self._run / relative)
        return True

    def _remote_checkpoints(self) -> set[str]:
        selector = pafs.FileSelector(str(self._root / "checkpoints"), recursive=True, allow_not_found=True)
        paths = [PurePosixPath(info.path) for info in self._filesystem.get_file_info(selector)]
        return {path.parent.name for path in paths if path.name == MANIFEST}

    def _upload(self, path: Path) -> None:
        target = self._root / path.relative_to(self._run).as_posix()
        self._filesystem.create_dir(str(target.parent), recursive=True)
        with path.open("rb") as source, self._filesystem.open_output_stream(str(target)) as sink:
            while block := source.read(BLOCK):
                sink.write(block)

    def _download(self, path: PurePosixPath, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._filesystem.open_input_stream(str(path)) as source, target.open("wb") as sink:
            while block := source.read(BLOCK):
                sink.write(block)
