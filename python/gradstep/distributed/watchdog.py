"""Names a rank that is killed, when nobody is left in the job who could.

A launcher kills all ranks where one dies, often without saying which one that was. So the ranks of one
machine share a small process in a session of its own, which outlives them: each is connected to it,
and one that goes without a word was killed. It moves no data, and training does not depend on it:
where it cannot be had, a killed rank is as nameless as the launcher leaves it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from typing import Any

_BYE, _END, _WATCHES = b"b", b"e", b"w"
_PATIENCE = 5.0  # seconds that ranks wait for it at the start
_asked = False
_connection: socket.socket | None = None
_process: subprocess.Popen[bytes] | None = None  # at the rank that started it


def connect(comm: Any) -> None:
    """Connect the ranks of each machine to a watcher, where they are not yet.

    All ranks of `comm` call this, which are all of the job's.
    """
    global _connection, _asked
    if _asked:
        return
    _asked = True
    from gradstep.distributed.mpi import mpi  # here, as the watcher itself runs this file alone

    local = comm.Split_type(mpi().COMM_TYPE_SHARED)
    path = ""
    with contextlib.ExitStack() as stack:
        if local.Get_rank() == 0:
            with contextlib.suppress(Exception):  # whatever it is, the others wait
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gradstep-"))
                listening = stack.enter_context(socket.socket(socket.AF_UNIX))
                listening.bind(os.path.join(folder, "s"))
                listening.listen(local.Get_size())
                _start(listening, local.Get_size(), comm.Get_size())
                path = os.path.join(folder, "s")
        path = local.bcast(path, 0)
        if path:
            with contextlib.suppress(OSError):
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(path)
                connection.sendall(f"{comm.Get_rank()} {os.getpid()}\n".encode())
                _connection = connection
        local.Barrier()  # the socket's file is needed until all are connected
        if _connection is not None:
            with contextlib.suppress(OSError):
                _connection.settimeout(_PATIENCE)
                _connection.recv(1)  # it watches


def _start(listening: socket.socket, ranks: int, size: int) -> None:
    global _process
    listening.set_inheritable(True)
    _process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(listening.fileno()), str(ranks), str(size)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(listening.fileno(),),
        start_new_session=True,
    )


def leave(*, job_ends: bool = False) -> None:
    """Tell the watcher that this rank ends by itself; or that all do, and why has been said."""
    if _connection is not None:
        with contextlib.suppress(OSError):
            _connection.sendall(_END if job_ends else _BYE)
        _connection.close()


def end() -> None:
    """Wait until the watcher has ended, when all ranks have left it."""
    if _process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            _process.wait(1)


def _forget() -> None:
    """Leave the connection to the parent: while a child holds it, nobody sees the parent go."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _watch(listening: socket.socket, ranks: int, size: int) -> None:
    """Wait until all ranks have said goodbye, or one has gone without."""
    names: dict[int, str] = {}
    connections: dict[int, socket.socket] = {}
    # Linux reports in the order in which they went: where one is killed, the others follow soon.
    poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
    listening.settimeout(_PATIENCE)
    for _ in range(ranks):
        try:
            connection, _address = listening.accept()
        except OSError:  # one of them could not connect
            return
        connection.settimeout(None)
        line = b""
        while not line.endswith(b"\n"):  # and no byte more: the rank may have said goodbye by now
            line += connection.recv(1) or b"? ?\n"
        rank, process = line.decode().split()[:2]
        number = connection.fileno()
        names[number] = f"rank {rank} of {size} (process {process} on {socket.gethostname()})"
        connections[number] = connection
        poll.register(number, select.POLLIN)
    listening.close()
    for connection in connections.values():
        with contextlib.suppress(OSError):
            connection.send(_WATCHES)
    while connections:
        for number, _ in poll.poll():
            said = b""
            with contextlib.suppress(OSError):
                said = connections[number].recv(1)
            if said == _END:
                return
            if said != _BYE:
                message = (
                    f"gradstep: {names[number]} was killed, or has ended without a word; all ranks "
                    "are ended\n"
                )
                os.write(2, message.encode())
                return
            poll.unregister(number)
            connections.pop(number).close()


if __name__ == "__main__":
    _descriptor, _ranks, _size = map(int, sys.argv[1:])
    _watch(socket.socket(fileno=_descriptor), _ranks, _size)
