package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The store compares transaction ids as xid8, which Postgres has since 13 (release notes of Postgres 13).
const oldestMajor = 13

// binaries is a folder with initdb and postgres that the account can run.
type binaries struct {
	dir     string
	version string // as in "15.4"
	major   int
}

func (b binaries) String() string { return fmt.Sprintf("version %s in %s", b.version, b.dir) }

// findBinaries finds binaries of the major version, or of any version relay can use when major is 0.
func (s *Server) findBinaries(ctx context.Context, major int) (binaries, error) {
	dirs := candidates(os.Getenv("PATH"), "/")
	if s.options.BinDir != "" {
		dirs = []string{s.options.BinDir}
	}
	var found, refused []string
	for _, dir := range dirs {
		b, err := tryBinaries(ctx, s.place.account, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			refused = append(refused, err.Error())
		case major == 0 && b.major < oldestMajor:
			refused = append(refused, fmt.Sprintf("%s is older than Postgres %d", b, oldestMajor))
		case major == 0 || b.major == major:
			return b, nil
		default:
			found = append(found, b.String())
		}
	}
	if len(found) > 0 {
		return binaries{}, fmt.Errorf("%w: the data in %s was made by Postgres %d, and this machine has %s; install Postgres %d, use --data with another folder, or remove %s to start anew",
			ErrVersion, s.place.data(), major, strings.Join(found, ", "), major, s.place.base)
	}
	var why error
	if s.options.BinDir == "" {
		var dir string
		if dir, why = fetch(ctx, s.options.Repository, cacheFolder(), major, s.options.Logger); why == nil {
			var b binaries
			if b, why = tryBinaries(ctx, s.place.account, dir); why == nil {
				return b, nil
			}
		}
		refused = append(refused, "download: "+why.Error())
	} else if len(refused) == 0 {
		refused = append(refused, s.options.BinDir+" has no initdb and postgres")
	}
	install := "apt-get install postgresql (Debian, Ubuntu), or brew install postgresql (macOS)"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql"
	}
	return binaries{}, fmt.Errorf("%w: install Postgres: %s (%s)", ErrNoBinaries, install, strings.Join(refused, "; "))
}

// candidates lists the folders that may hold binaries, in order of preference: PATH, the packages of Debian and of
// the PostgreSQL project, Homebrew, Postgres.app. Root is the file system's, or a test's.
func candidates(path, root string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, pattern := range []string{
		"usr/lib/postgresql/*/bin",
		"usr/pgsql-*/bin",
		"opt/homebrew/opt/postgresql*/bin",
		"usr/local/opt/postgresql*/bin",
		"home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		// Only a malformed pattern gives an error.
		list, _ := filepath.Glob(filepath.Join(globEscape(root), pattern))
		slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(majorInPath(b), majorInPath(a)) })
		dirs = append(dirs, list...)
	}
	return dirs
}

var lastNumber = regexp.MustCompile(`(\d+)[^/\d]*/bin$`)

// majorInPath returns the version in a folder's name, 0 when it has none, as in Versions/latest.
func majorInPath(dir string) int {
	m := lastNumber.FindStringSubmatch(dir)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// tryBinaries runs both programs as the account, which may be unable to enter a folder that this process can.
func tryBinaries(ctx context.Context, a account, dir string) (binaries, error) {
	b := binaries{dir: dir}
	for _, name := range []string{"initdb", "postgres"} {
		program := filepath.Join(dir, name)
		if _, err := os.Stat(program); err != nil {
			return binaries{}, fmt.Errorf("%s: %w", program, fs.ErrNotExist)
		}
		out, err := a.command(ctx, program, "--version").Output()
		if err != nil {
			return binaries{}, fmt.Errorf("user %d cannot run %s: %w", a.uid, program, err)
		}
		m := versionLine.FindSubmatch(out)
		if m == nil {
			return binaries{}, fmt.Errorf("%s tells no version: %q", program, out)
		}
		major, err := strconv.Atoi(string(m[2]))
		if err != nil {
			return binaries{}, fmt.Errorf("%s tells no version: %q", program, out)
		}
		if b.major != 0 && b.major != major {
			return binaries{}, fmt.Errorf("initdb and postgres in %s are of different versions", dir)
		}
		b.version, b.major = string(m[1]), major
	}
	return b, nil
}
