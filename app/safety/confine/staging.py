"""For a server that runs as root: commands run as nobody in particular, and yet its folders are theirs inside.

Each folder is attached once more, in a mount namespace of the command's own, with its owner shown as that nobody
(an idmapped mount): nothing is changed on the disk, and what is written there belongs to the owner. The places where
they are attached can be reached by everybody, /root cannot. Source: mount_setattr(2), open_tree(2).
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import os
import struct
from collections.abc import Container, Iterable, Mapping

from app.safety.confine.syscalls import CLONE_NEWNS, CLONE_NEWUSER, call, mount, unshare

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_IDMAP = 0x100000
_MS_SLAVE_REC, _MS_NOSUID_NODEV = 0x80000 | 0x4000, 6
_STAGE = "/tmp"  # hidden in this namespace only


def places(folders: Iterable[str]) -> dict[str, str]:
    """Folder → where it will be attached."""
    return {folder: f"{_STAGE}/{number}" for number, folder in enumerate(dict.fromkeys(folders))}


def stage(where: Mapping[str, str], owned: Container[str], uid: int) -> None:
    """Only the `owned` change their owner. In a process of one thread, as root. Raises OSError."""
    unshare(CLONE_NEWNS)
    mount(None, b"/", None, _MS_SLAVE_REC)
    trees = {folder: _shown_as(folder, uid) if folder in owned else _clone(folder) for folder in where}
    mount(b"tmpfs", _STAGE.encode(), b"tmpfs", _MS_NOSUID_NODEV, b"mode=755,size=64k")
    for folder, tree in trees.items():
        os.mkdir(where[folder])
        call("move_mount", tree, b"", _AT_FDCWD, os.fsencode(where[folder]), _MOVE_MOUNT_F_EMPTY_PATH)
        os.close(tree)


def _clone(path: str) -> int:
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    return call("open_tree", _AT_FDCWD, os.fsencode(path), flags)


def _shown_as(path: str, uid: int) -> int:
    tree = _clone(path)
    info = os.stat(path)
    names = _names((info.st_uid, uid), (info.st_gid, uid))
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, names)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    call("mount_setattr", tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, buffer, len(attributes))
    os.close(names)
    return tree


def _names(user: tuple[int, int], group: tuple[int, int]) -> int:
    """A user namespace that says: on the disk this number, in the mount that one."""
    ready, hold = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        unshare(CLONE_NEWUSER)
        os.write(ready[1], b".")
        os.close(hold[1])
        os.read(hold[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for name, (on_disk, shown) in (("uid_map", user), ("gid_map", group)):
        with open(f"/proc/{child}/{name}", "w") as file:
            file.write(f"{on_disk} {shown} 1\n")
    namespace = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    for descriptor in (*ready, *hold):
        os.close(descriptor)
    os.waitpid(child, 0)
    return namespace
