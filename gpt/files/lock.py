"""One process at a time in a folder: two that write there would mix their files."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gpt.errors import UserError
from gpt.files.atomic import explain_failure, make_folder

LOCK_FILE = ".lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what some network drives answer
HELD: set[Path] = set()  # by this process


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """While this lasts, no other process is `alone_in` the folder, which is made if need be and goes again if it stays
    empty. The operating system holds the lock, so that even a killed process gives it back. A process may take again
    what it has. On a drive that knows no locks nobody is kept out, or filelock makes do with a file that says who.

    Raises UserError if another process has it; with `wait` it says so and waits. Also if the folder cannot be written.
    """
    path = folder.resolve()
    if path in HELD:
        yield
        return
    made = [level for level in (path, *path.parents) if not level.exists()]  # the innermost first
    lock = FileLock(path / LOCK_FILE)
    with explain_failure(folder):
        acquire(lock, folder, wait)
    HELD.add(path)
    try:
        yield
    finally:
        HELD.remove(path)
        with contextlib.suppress(OSError):  # Windows removes no open file
            (path / LOCK_FILE).unlink()  # while it is ours
        lock.release()
        with contextlib.suppress(OSError):  # it is not empty
            for level in made:
                level.rmdir()


def acquire(lock: FileLock, folder: Path, wait: bool) -> None:
    """Make the folder and take its lock; on a drive without locks go on without."""
    waiting = False
    while not lock.is_locked:
        make_folder(folder)
        try:
            lock.acquire(timeout=1 if waiting else 0)
        except FileNotFoundError:  # who had it has just removed the folder, empty
            continue
        except Timeout:
            if not wait:
                raise UserError(
                    f"another process is writing to {folder}: wait for its end, or choose another folder"
                ) from None
            if not waiting:
                print(f"another process is writing to {folder}: waiting for its end", flush=True)
            waiting = True
        except NotImplementedError:  # as WITHOUT_LOCKS, from some versions of filelock
            return
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            return
