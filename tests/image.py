"""The image of deploy/Dockerfile, made and run without a container engine: its own instructions, over this machine as the base image.

Each stage is a layer of files over `/` (overlayfs) in a mount namespace of its own, so nothing of this machine changes. A container is the last
layer, read-only, with what an engine would mount into it, entered without capabilities as the user that the image names. It shares this
machine's network and processes. Linux and root are needed for that.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from dockerfile import Instruction, lay_context, stages

MOUNTED = ("/run/secrets/tokenkeep", "/run/sockets", "/var/lib/tokenkeep")
"""Directories that an engine would make, to mount something there."""
TMP = "/tmp"  # noqa: S108 - a container's own
BUILDING_S = 600
UNSHARE = shutil.which("unshare") or "/usr/bin/unshare"
KEPT = Path(sys.prefix) / "image-layers"
"""Layers of dependencies, as an engine keeps them; they go when the environment goes."""


@dataclass
class Layer:
    """A stage while it is built: the files that it has put over this machine's."""

    files: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        return self.files / (Path(self.directory) / path).relative_to("/")

    def run_once(self, command: str) -> None:
        """A RUN whose outcome hangs on nothing but what the layer holds and pinned downloads: carried out once, and kept."""
        digest = hashlib.sha256(f"{sys.version} {command}".encode())
        for path in sorted(self.files.rglob("*")):
            digest.update(str(path.relative_to(self.files)).encode())
            digest.update(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        kept = KEPT / digest.hexdigest()
        if kept.exists():
            _link(kept, self.files)
            return
        try:
            done = self._attempt(command)
        except subprocess.TimeoutExpired:
            pytest.skip(f"the package registry has not given everything in {BUILDING_S} s")
        if done.returncode != 0 and "Retrying (Retry(" in done.stderr:
            pytest.skip("the package registry does not answer")
        _see_it_done(command, done)
        shutil.rmtree(KEPT, ignore_errors=True)
        KEPT.mkdir(exist_ok=True)
        unfinished = kept.with_suffix(".new")
        _link(self.files, unfinished)
        unfinished.rename(kept)

    def run(self, command: str) -> None:
        """A RUN: by a shell, as root, with this layer to write to. A cache that is to be mounted is this machine's own."""
        _see_it_done(command, self._attempt(command))

    def _attempt(self, command: str) -> "subprocess.CompletedProcess[str]":
        while command.startswith("--mount=type=cache,"):
            command = command.split(maxsplit=1)[1]
        work = self.files.with_suffix(".work")
        root = self.files.with_suffix(".root")
        for made in (work, root):
            made.mkdir(exist_ok=True)
        mount = f"mount -t overlay overlay -o lowerdir=/,upperdir={self.files},workdir={work} {root}"
        enter = f"{mount} && mount -t proc proc {root}/proc && mount --bind /dev {root}/dev && mount -t tmpfs tmp {root}{TMP}"
        script = f"{enter} && exec chroot {root} /bin/sh -ec {shlex.quote(f'cd {self.directory}; {command}')}"
        return subprocess.run(
            # Processes of its own, so that what is given up after a while ends as a whole.
            [UNSHARE, "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script],
            env={"HOME": "/root", **_outside(), **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILDING_S,
        )


def _see_it_done(command: str, done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, f"RUN {command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@dataclass(frozen=True)
class Mounts:
    """What an engine would mount: secrets at /run/secrets/tokenkeep, a volume at /var/lib/tokenkeep, and, by the name under /run/sockets,
    Unix sockets of servers outside."""

    secrets: Path
    data: Path
    sockets: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """What was built, held read-only in the mount namespace of a process that does nothing else."""

    layer: Layer
    root: Path
    holder: int

    def command(self, *arguments: str, mounts: Mounts, entrypoint: Sequence[str] = ()) -> list[str]:
        """A command line that runs it as a hardened container. A signal to it reaches the program inside: all is done by `exec`.

        Args:
            arguments: What is said behind the entrypoint.
            mounts: What is mounted into it.
            entrypoint: Another program instead of the image's own.
        """
        root, (uid, gid) = self.root, self.layer.user.split(":")
        steps = [
            f"mount -t tmpfs -o size=64m,noexec,nosuid,nodev tmp {root}{TMP}",
            f"mount --bind -o ro {mounts.secrets} {root}/run/secrets/tokenkeep",
            f"mount --bind {mounts.data} {root}/var/lib/tokenkeep",
            f"mount -t tmpfs sockets {root}/run/sockets",
        ]
        for name, path in mounts.sockets.items():
            inside = f"{root}/run/sockets/{name}"
            steps += [f"mkdir -p {Path(inside).parent}", f"touch {inside}", f"mount --bind {path} {inside}"]
        drop = f"setpriv --reuid {uid} --regid {gid} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
        program = shlex.join([*(entrypoint or self.layer.entrypoint), *arguments])
        enter = f"cd {self.layer.directory} && exec {drop} {program}"
        script = f"{' && '.join(steps)} && exec chroot {root} /bin/sh -c {shlex.quote(enter)}"
        return ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", UNSHARE, "--mount", "/bin/sh", "-c", script]

    def environment(self, **variables: str) -> dict[str, str]:
        return {**self.layer.environment, "HOME": "/nonexistent", **variables}


@contextmanager
def held(layer: Layer, place: Path) -> Iterator[Image]:
    """The layer as a root file system that nobody can write to."""
    work, root = place / "work", place / "root"
    work.mkdir()
    root.mkdir()
    script = (
        f"mount -t overlay overlay -o lowerdir=/,upperdir={layer.files},workdir={work} {root} && mount -o remount,ro {root}"
        f" && mount -t proc proc {root}/proc && mount --bind /dev {root}/dev && echo held && exec sleep infinity"
    )
    with subprocess.Popen([UNSHARE, "--mount", "/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield Image(layer, root, holder.pid)
        finally:
            holder.terminate()


def build_image(place: Path) -> Layer:
    """Carry out the Dockerfile; needs a package registry, as `docker build` does."""
    context = place / "context"
    lay_context(context)
    built: dict[str, Layer] = {}
    layer = Layer(place / "none")
    for number, stage in enumerate(stages()):
        layer = _base(place / f"stage{number}")
        for instruction in stage:
            _carry_out(instruction, layer, context, built)
        words = stage[0].words
        if "AS" in words:
            built[words[words.index("AS") + 1]] = layer
    for path in MOUNTED:
        layer.inside(path).mkdir(parents=True, exist_ok=True)
    return layer


def _base(files: Path) -> Layer:
    """This machine as `python:…-slim`: with a `python` where that has it, which other users may run too."""
    files.mkdir(mode=0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = Path(sys.base_prefix, "bin", version).resolve()
    # Its library as well: the home of an environment is where the link is, not where it leads.
    for name, target in (("bin/python", python), (f"lib/{version}", python.parents[1] / "lib" / version)):
        link = files / "usr/local" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    # Directories on the way to it may be closed, such as root's own: in this layer they can be passed through.
    for closed in reversed(python.parents[:-1]):
        if not closed.stat().st_mode & 0o001:
            (files / closed.relative_to("/")).mkdir(mode=0o711, parents=True, exist_ok=True)
    return Layer(files, {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"})


_ONLY_SAID = {"FROM", "ARG", "LABEL", "CMD", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}


def _carry_out(instruction: Instruction, layer: Layer, context: Path, built: Mapping[str, Layer]) -> None:
    match instruction.name:
        case "RUN" if "--require-hashes" in instruction.text:
            layer.run_once(instruction.text)
        case "RUN":
            layer.run(instruction.text)
        case "ENV":
            said = dict(word.split("=", 1) for word in instruction.words)
            layer.environment |= {k: v.replace("$PATH", layer.environment["PATH"]) for k, v in said.items()}
        case "WORKDIR":
            layer.directory = instruction.text
            layer.inside(".").mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy_all(instruction.words, layer, context, built)
        case "USER":
            layer.user = instruction.text
        case "ENTRYPOINT":
            layer.entrypoint = instruction.words
        case name:
            assert name in _ONLY_SAID, f"nobody knows how to carry out {name}"


def _copy_all(words: list[str], layer: Layer, context: Path, built: Mapping[str, Layer]) -> None:
    source = context
    if words[0].startswith("--from="):
        source = built[words[0].removeprefix("--from=")].files
        words = words[1:]
    for name in words[:-1]:
        _copy(source / name.lstrip("/"), layer.inside(words[-1]), into=words[-1].endswith("/"))


def _link(source: Path, target: Path) -> None:
    """The same files once more, without their bytes where that can be: nothing changes a file of a layer, it puts another in its place."""

    def link(one: str, other: str) -> None:
        Path(other).unlink(missing_ok=True)
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(
        source, target, symlinks=True, dirs_exist_ok=True, copy_function=link, ignore=_there(source, target)
    )


def _there(source: Path, target: Path) -> Callable[[str, list[str]], list[str]]:
    """Symbolic links that the target has: they can't be made over."""

    def ignore(directory: str, names: list[str]) -> list[str]:
        place = target / Path(directory).relative_to(source)
        return [name for name in names if (place / name).is_symlink()]

    return ignore


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        _link(source, target)
        return
    place = target / source.name if into else target
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # the same file may be in a layer that is kept
    shutil.copy2(source, place)


def _outside() -> dict[str, str]:
    """What of this machine a build is let know: where packages come from."""
    wanted = ("PIP_", "HTTP", "NO_PROXY", "SSL_CERT", "REQUESTS_CA")
    return {name: value for name, value in os.environ.items() if name.upper().startswith(wanted)}


def need_namespaces() -> None:
    """A test is skipped, in CI too, where there is no root, or no overlayfs and no mount namespaces for it."""
    why = _missing()
    if why is not None:
        pytest.skip(f"containers can't be had here: {why}")


@cache
def _missing() -> str | None:
    if os.geteuid() != 0:
        return "it takes root"
    for program in ("unshare", "nsenter", "setpriv", "chroot"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    # Where layers will lie: some file systems, an engine's own overlay among them, can't be the upper one.
    with tempfile.TemporaryDirectory(prefix="tk-overlay-") as place:
        overlay = "mount -t overlay overlay -o lowerdir=/,upperdir=u,workdir=w r"
        probe = f"cd {place} && mkdir u w r && {overlay} && mount -t proc proc r/proc && mount --bind /dev r/dev"
        done = subprocess.run(
            [UNSHARE, "--mount", "/bin/sh", "-c", probe], capture_output=True, text=True, check=False, timeout=60
        )
    return None if done.returncode == 0 else (done.stderr.strip() or "no overlayfs")
