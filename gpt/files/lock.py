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


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """While this lasts, no other process is `alone_in` the folder, which is made if need be and goes again if it stays
    empty. The operating system holds the lock, so that even a killed process gives it back.

    Raises UserError if another process has it; with `wait` it says so and waits. Also if the folder cannot be written.
    On a drive that knows no locks nobody is kept out.
    """
    is_new = not folder.exists()
    make_folder(folder)
    lock = FileLock(folder / LOCK_FILE)
    with explain_failure(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise UserError(
                    f"another process is writing to {folder}: wait for its end, or choose another folder"
                ) from None
            print(f"another process is writing to {folder}: waiting for its end", flush=True)
            while not lock.is_locked:
                make_folder(folder)  # the other one may have removed it, empty
                with contextlib.suppress(Timeout, FileNotFoundError):
                    lock.acquire(timeout=1)
        except NotImplementedError:  # as WITHOUT_LOCKS, from an older filelock
            pass
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            (folder / LOCK_FILE).unlink()  # while it is ours
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
