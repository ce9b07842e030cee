// Writes the same members in each format that Go's archive/tar knows: go run write.go ..
package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	for name, format := range map[string]tar.Format{"ustar": tar.FormatUSTAR, "pax": tar.FormatPAX, "gnu": tar.FormatGNU} {
		file, err := os.Create(filepath.Join(os.Args[1], "go-"+name+".tar"))
		if err != nil {
			panic(err)
		}
		long := strings.Repeat("directory/", 12) + "long.txt"
		if format != tar.FormatUSTAR {
			long = strings.Repeat("größe/", 40) + "long.txt"
		}
		mtime := time.Unix(1700000000, 0)
		if format == tar.FormatPAX {
			mtime = time.Unix(1700000000, 250000000)
		}
		writer := tar.NewWriter(file)
		for _, head := range []tar.Header{
			{Typeflag: tar.TypeDir, Name: "dir/", Mode: 0o755},
			{Typeflag: tar.TypeReg, Name: "dir/empty", Mode: 0o600},
			{Typeflag: tar.TypeReg, Name: "dir/data.bin", Mode: 0o644, Size: 700},
			{Typeflag: tar.TypeReg, Name: long, Mode: 0o644, Size: 4},
			{Typeflag: tar.TypeSymlink, Name: "symlink", Linkname: "dir/data.bin", Mode: 0o777},
			{Typeflag: tar.TypeLink, Name: "hardlink", Linkname: "dir/data.bin", Mode: 0o644},
			{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o644},
		} {
			head.Format, head.ModTime, head.Uname, head.Gname = format, mtime, "user", "group"
			if err := writer.WriteHeader(&head); err != nil {
				panic(err)
			}
			if _, err := writer.Write([]byte(strings.Repeat("go\n!", int(head.Size/4)))); err != nil {
				panic(err)
			}
		}
		if err := writer.Close(); err != nil {
			panic(err)
		}
		if err := file.Close(); err != nil {
			panic(err)
		}
	}
}
