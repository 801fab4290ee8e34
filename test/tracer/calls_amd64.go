package tracer

import "golang.org/x/sys/unix"

// oldShapes are calls that newer architectures do not have any more. Go uses none of them, a C library does.
var oldShapes = map[uint64]shape{
	unix.SYS_OPEN:    {name: "open", dir: none, path: 0, flags: 1, descriptor: none},
	unix.SYS_CREAT:   at("creat", none, 0),
	unix.SYS_MKDIR:   at("mkdir", none, 0),
	unix.SYS_RMDIR:   at("rmdir", none, 0),
	unix.SYS_UNLINK:  at("unlink", none, 0),
	unix.SYS_SYMLINK: at("symlink", none, 1),
	unix.SYS_LINK:    at("link", none, 1),
	unix.SYS_RENAME:  at("rename", none, 1),
	unix.SYS_CHMOD:   at("chmod", none, 0),
	unix.SYS_CHOWN:   at("chown", none, 0),
	unix.SYS_LCHOWN:  at("lchown", none, 0),
}
