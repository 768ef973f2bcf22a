package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path"
	"path/filepath"
)

// enclosed are the files that go with the program, in the archive's order.
var enclosed = []string{"CHANGELOG.md", "README.md", "README.zh-CN.md", "SECURITY.md", "deploy/relay.service"}

// archive packs the program and what goes with it under one folder. Owners,
// modes and times are fixed, so that nothing of this machine is in it.
func (r release) archive(folder, program string) ([]byte, error) {
	var packed bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	files := tar.NewWriter(compressed)
	add := func(from, name string, mode int64) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := files.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: path.Join(folder, name), Mode: mode, Size: int64(len(data)), ModTime: r.time,
		}); err != nil {
			return err
		}
		_, err = files.Write(data)
		return err
	}
	for _, name := range enclosed {
		if err := add(filepath.Join(r.source, filepath.FromSlash(name)), name, 0o644); err != nil {
			return nil, err
		}
	}
	if err := add(program, "relay", 0o755); err != nil {
		return nil, err
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
