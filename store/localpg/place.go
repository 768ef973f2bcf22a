package localpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	port       = "5432"
	socketName = ".s.PGSQL." + port
)

// place is where one cluster lives and who serves it.
type place struct {
	account account
	base    string // holds data, server.lock and the log; mode 0700
	sockets string // holds the socket; mode 0700
}

func (p place) data() string { return filepath.Join(p.base, "data") }
func (p place) log() string  { return filepath.Join(p.base, "postgres.log") }

// socketFits tells whether a socket in the folder can be bound (the size of sun_path less its NUL: 107 on Linux, 103
// on macOS) and named in a connection URL, whose host parameter splits at commas.
func socketFits(folder string) bool {
	limit := 107
	if runtime.GOOS != "linux" {
		limit = 103
	}
	return len(filepath.Join(folder, socketName)) <= limit && !strings.Contains(folder, ",")
}

// makeFolder creates the owner's data folder when it is missing and returns its absolute path without symbolic links,
// so that each folder has one name and one hash.
func makeFolder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(abs, 0o700); err == nil {
		if err := os.Chmod(abs, outerMode()); err != nil {
			return "", err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// outerMode is the mode of a folder that holds the base: root's lets the account through, without showing it anything.
func outerMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// settle finds the place for the data folder: inside it, else in the folder of the temporary one that stands in for it.
func settle(ctx context.Context, folder string) (place, error) {
	p, why := baseIn(ctx, folder)
	if ctx.Err() != nil {
		return place{}, context.Cause(ctx) // no verdict on the folder
	}
	if why != nil {
		var err error
		if p, err = standIn(ctx, folder); err != nil {
			return place{}, errors.Join(fmt.Errorf("folder %s: %w", folder, why), err)
		}
	}
	p.sockets = p.base
	if !socketFits(p.base) {
		s, err := standIn(ctx, folder)
		if err != nil {
			return place{}, err
		}
		if s.account.uid != p.account.uid {
			return place{}, fmt.Errorf("%s belongs to user %d and %s to user %d; remove the first", s.base, s.account.uid, p.base, p.account.uid)
		}
		p.sockets = s.base
	}
	return p, nil
}

// standIn finds the base in the temporary folder that stands in for the given folder.
func standIn(ctx context.Context, folder string) (place, error) {
	sum := sha256.Sum256([]byte(folder))
	name := fmt.Sprintf("relay-pg-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:8]))
	var errs []error
	for _, tmp := range temporaryFolders() {
		outer := filepath.Join(tmp, name)
		if !socketFits(filepath.Join(outer, "postgres")) {
			errs = append(errs, fmt.Errorf("folder %s: the path is too long for a socket, or has a comma", outer))
			continue
		}
		if err := privateFolder(outer); err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := baseIn(ctx, outer)
		if err == nil {
			return p, nil
		}
		os.Remove(outer) // only when it is empty
		errs = append(errs, fmt.Errorf("folder %s: %w", outer, err))
	}
	return place{}, errors.Join(errs...)
}

// temporaryFolders lists the system's temporary folder and, where that is too deep or root's own, the common one.
func temporaryFolders() []string {
	var list []string
	for _, dir := range []string{os.TempDir(), "/tmp"} {
		dir, err := filepath.EvalSymlinks(dir)
		if err == nil && filepath.IsAbs(dir) && (len(list) == 0 || list[0] != dir) {
			list = append(list, dir)
		}
	}
	return list
}

// privateFolder creates a folder with a name that others can guess, or takes one that is this user's own already.
// Others could have made it first, to read or to replace what is put there.
func privateFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if uid, _ := ownerOf(info); !info.IsDir() || uid != uint32(os.Geteuid()) || info.Mode().Perm()&^outerMode() != 0 {
		return fmt.Errorf("%s exists, but is not a private folder of this user; remove it, or set TMPDIR to another folder", path)
	}
	return os.Chmod(path, outerMode())
}

// baseIn makes the base inside a folder, and fails when the account cannot use it there.
func baseIn(ctx context.Context, folder string) (place, error) {
	base := filepath.Join(folder, "postgres")
	var owner, group uint32
	info, err := os.Lstat(base)
	switch {
	case err == nil && !info.IsDir():
		return place{}, fmt.Errorf("%s is not a folder", base)
	case err == nil:
		owner, group = ownerOf(info)
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, err
	}
	a, err := accountFor(owner, group)
	if err != nil {
		return place{}, err
	}
	if !a.canEnter(ctx, folder) {
		return place{}, fmt.Errorf("user %d, who runs Postgres, cannot enter it", a.uid)
	}
	created := info == nil
	if created {
		if err := os.Mkdir(base, 0o700); err != nil {
			return place{}, err
		}
	}
	if err := checkBase(ctx, a, base); err != nil {
		if created {
			os.Remove(base)
		}
		return place{}, err
	}
	return place{account: a, base: base}, nil
}

// checkBase hands the base to the account and looks whether the file system kept owner and mode, as some shared ones
// do not; Postgres would refuse such a folder.
func checkBase(ctx context.Context, a account, base string) error {
	if a.other {
		if err := os.Lchown(base, int(a.uid), int(a.gid)); err != nil {
			return err
		}
	}
	info, err := os.Lstat(base)
	if err != nil {
		return err
	}
	if uid, _ := ownerOf(info); uid != a.uid || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s must belong to user %d with mode 0700, and has user %d and mode %#o", base, a.uid, uid, info.Mode().Perm())
	}
	if !a.canWrite(ctx, base) {
		return fmt.Errorf("user %d, who runs Postgres, cannot write to %s", a.uid, base)
	}
	return nil
}

// settleTemporary makes a base of its own that nobody else can know.
func settleTemporary(ctx context.Context) (place, error) {
	a, err := accountFor(0, 0)
	if err != nil {
		return place{}, err
	}
	var errs []error
	for _, tmp := range temporaryFolders() {
		base, err := os.MkdirTemp(tmp, "relay-pg-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = checkBase(ctx, a, base)
		if err == nil && socketFits(base) {
			return place{account: a, base: base, sockets: base}, nil
		}
		if err == nil {
			err = fmt.Errorf("folder %s: the path is too long for a socket, or has a comma", base)
		}
		errs = append(errs, err, os.RemoveAll(base))
	}
	return place{}, errors.Join(errs...)
}
