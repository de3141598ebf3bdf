"""A process that names a killed rank when no other process of the job can.

If a rank dies, the launcher kills all others, often without saying which rank died first. So the
ranks of one machine share a small process in a session of its own, which outlives them. Each rank
is connected to it. If a connection closes without notice, that rank was killed. The watchdog moves
no data, and training does not depend on it: if it cannot be started, only this message is lost.
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

_EXIT, _ABORT, _READY = b"b", b"e", b"w"
_TIMEOUT = 5.0  # seconds that the ranks and the watchdog wait for each other at the start
_tried = False
_connection: socket.socket | None = None
_process: subprocess.Popen[bytes] | None = None  # at the rank that started it


def connect(comm: Any) -> None:
    """Connect the ranks of each machine to a watchdog, once.

    All ranks of `comm` call this, which are all ranks of the job.
    """
    global _connection, _tried
    if _tried:
        return
    _tried = True
    from gradstep.distributed.mpi import mpi  # here, as the watchdog itself runs this file alone

    local = comm.Split_type(mpi().COMM_TYPE_SHARED)
    path = ""
    with contextlib.ExitStack() as stack:
        if local.Get_rank() == 0:
            with contextlib.suppress(Exception):  # the other ranks wait, so no error may end this
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
                _connection.settimeout(_TIMEOUT)
                _connection.recv(1)  # _READY


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


def disconnect(*, job_aborts: bool = False) -> None:
    """Tell the watchdog that this rank exits, or that the job aborts and has said why."""
    if _connection is not None:
        with contextlib.suppress(OSError):
            _connection.sendall(_ABORT if job_aborts else _EXIT)
        _connection.close()


def join() -> None:
    """Wait until the watchdog has ended, after all ranks have disconnected."""
    if _process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            _process.wait(1)


def _close_in_child() -> None:
    """Close the child's copy of the connection, which else stays open when the parent dies."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _watch(listening: socket.socket, ranks: int, size: int) -> None:
    """Wait until all ranks have given notice, or one connection closes without it."""
    names: dict[int, str] = {}
    connections: dict[int, socket.socket] = {}
    # epoll reports in the order of events: after one rank is killed, the others follow soon.
    poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
    listening.settimeout(_TIMEOUT)
    for _ in range(ranks):
        try:
            connection, _address = listening.accept()
        except OSError:  # a rank could not connect
            return
        connection.settimeout(None)
        line = b""
        while not line.endswith(b"\n"):  # and no byte more: the rank may have given notice by now
            line += connection.recv(1) or b"? ?\n"
        rank, process = line.decode().split()[:2]
        number = connection.fileno()
        names[number] = f"rank {rank} of {size} (process {process} on {socket.gethostname()})"
        connections[number] = connection
        poll.register(number, select.POLLIN)
    listening.close()
    for connection in connections.values():
        with contextlib.suppress(OSError):
            connection.send(_READY)
    while connections:
        for number, _ in poll.poll():
            notice = b""
            with contextlib.suppress(OSError):
                notice = connections[number].recv(1)
            if notice == _ABORT:
                return
            if notice != _EXIT:
                reason = "was killed or exited without notice"
                message = f"gradstep: {names[number]} {reason}; the job stops\n"
                os.write(2, message.encode())
                return
            poll.unregister(number)
            connections.pop(number).close()


if __name__ == "__main__":
    _descriptor, _ranks, _size = map(int, sys.argv[1:])
    _watch(socket.socket(fileno=_descriptor), _ranks, _size)
