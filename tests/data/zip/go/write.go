// Writes the go-*.zip vectors with Go's archive/zip: go run write.go ..
package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type entry struct {
	name   string
	data   string
	method uint16
	mode   os.FileMode
}

func write(path string, entries []entry, comment string) {
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	w.SetComment(comment)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method, Modified: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			panic(err)
		}
		if _, err := f.Write([]byte(e.data)); err != nil && e.data != "" {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	if err := os.WriteFile(path, buffer.Bytes(), 0o644); err != nil {
		panic(err)
	}
}

// raw copies a finished member: sizes known, no descriptor, in the middle of streamed ones.
func raw(path string) {
	data := []byte("raw data")
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	f, _ := w.CreateHeader(&zip.FileHeader{Name: "before", Method: zip.Store})
	f.Write([]byte("streamed"))
	h := &zip.FileHeader{Name: "raw", Method: zip.Store, CRC32: 0xfdc730d7, CompressedSize64: 8, UncompressedSize64: 8}
	f, _ = w.CreateRaw(h)
	f.Write(data)
	f, _ = w.CreateHeader(&zip.FileHeader{Name: "after", Method: zip.Deflate})
	f.Write([]byte("streamed"))
	w.Close()
	os.WriteFile(path, buffer.Bytes(), 0o644)
}

func main() {
	at := func(name string) string { return filepath.Join(os.Args[1], "go-"+name+".zip") }
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 50)
	for method, name := range map[uint16]string{zip.Store: "stored", zip.Deflate: "deflated"} {
		write(at(name), []entry{
			{"text.txt", text, method, 0}, {"empty", "", method, 0}, {"dir/", "", method, 0},
			{"dir/über.txt", "umlaut\n", method, 0},
		}, "")
	}
	write(at("modes"), []entry{
		{"run", "#!/bin/sh\n", zip.Deflate, 0o755}, {"link", "run", zip.Store, os.ModeSymlink | 0o777},
		{"dir/", "", zip.Store, os.ModeDir | 0o700},
	}, "a comment")
	write(at("empty"), nil, "")
	write(at("not-utf8"), []entry{{"caf\xe9", "latin", zip.Store, 0}}, "")
	raw(at("raw"))
}
