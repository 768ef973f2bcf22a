package localpg

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that Postgres runs as.
type account struct {
	uid, gid uint32
	// other is set when this process must change its user to run Postgres, which only root can do.
	other bool
}

// accountFor returns the user for a cluster whose folder has the given owner, or for a new one when owner is 0.
// A process that is not root runs everything as itself.
func accountFor(owner, group uint32) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	if owner != 0 {
		// An ordinary user made this cluster before; Postgres serves a cluster only as its owner.
		if u, err := user.LookupId(strconv.FormatUint(uint64(owner), 10)); err == nil {
			if gid, err := parseID(u.Gid); err == nil {
				group = gid
			}
		}
		return account{uid: owner, gid: group, other: true}, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := parseID(u.Uid)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := parseID(u.Gid)
		if err != nil {
			continue
		}
		return account{uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("%w: there is neither a user postgres nor a user nobody; create one, or start relay as an ordinary user", ErrNoUser)
}

// parseID reads a user or group id; macOS writes that of nobody as -2.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return uint32(n), err
}

// command prepares a command that runs as the account, in the root folder and with an environment that carries neither
// the caller's secrets nor settings of the Postgres clients.
func (a account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
	for _, key := range []string{"PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(key); ok {
			cmd.Env = append(cmd.Env, key+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// canEnter tells whether the account can change into the folder. It tries, because mode bits do not tell of access
// lists, root-squashed mounts or parents.
func (a account) canEnter(ctx context.Context, folder string) bool {
	return a.command(ctx, "/bin/sh", "-c", `cd -- "$1"`, "sh", folder).Run() == nil
}

// canWrite tells whether the account can make a file in the folder.
func (a account) canWrite(ctx context.Context, folder string) bool {
	return a.command(ctx, "/bin/sh", "-c", `cd -- "$1" && : >.probe && rm .probe`, "sh", folder).Run() == nil
}

// ownerOf returns who owns a file.
func ownerOf(info fs.FileInfo) (uid, gid uint32) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid, st.Gid
	}
	return 0, 0
}
