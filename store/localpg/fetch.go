package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchable are the versions that can be downloaded, by major version.
var fetchable = map[int]embeddedpostgres.PostgresVersion{
	13: embeddedpostgres.V13,
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

const fetchedMajor = 17

// cacheFolder keeps downloaded binaries. Root's own cache cannot be entered by the user that runs Postgres.
func cacheFolder() string {
	if dir, err := os.UserCacheDir(); err == nil && os.Geteuid() != 0 {
		return filepath.Join(dir, "relay")
	}
	return "/var/cache/relay"
}

// fetch returns the folder of downloaded binaries of the major version (0: the usual one), and downloads them first
// when they are not in the cache.
func fetch(ctx context.Context, repository, cache string, major int, logger *slog.Logger) (string, error) {
	if major == 0 {
		major = fetchedMajor
	}
	version, ok := fetchable[major]
	if !ok {
		return "", fmt.Errorf("there is no Postgres %d to download", major)
	}
	home := filepath.Join(cache, "postgres-"+string(version))
	bin := filepath.Join(home, "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	logger.Info("downloading postgres, because this machine has none", "version", string(version), "to", home)
	unpacked := filepath.Join(work, "postgres")
	config := embeddedpostgres.DefaultConfig()
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	library := embeddedpostgres.NewDatabase(config.
		Version(version).
		CachePath(filepath.Join(work, "archive")).
		RuntimePath(filepath.Join(work, "run")).
		BinariesPath(unpacked).
		// The library has no call that only fetches. A cluster cannot be made below a file, so that its Start ends right
		// after unpacking, for root too.
		DataPath(filepath.Join(unpacked, "bin", "postgres", "data")).
		Logger(io.Discard).
		Port(0))
	started := make(chan error, 1)
	go func() { started <- library.Start() }()
	select {
	case err = <-started:
		defer os.RemoveAll(work)
	case <-ctx.Done():
		// The library cannot be interrupted; what it still writes is removed when it ends.
		go func() {
			<-started
			os.RemoveAll(work)
		}()
		return "", context.Cause(ctx)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, statErr := os.Stat(filepath.Join(unpacked, "bin", name)); statErr != nil {
			return "", errors.Join(err, statErr)
		}
	}
	// One step, so that a kill while unpacking leaves no half of it. Another process may have been faster.
	if err := os.Rename(unpacked, home); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return bin, nil
}
