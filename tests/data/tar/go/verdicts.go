// What Go's archive/tar makes of each archive named on the command line, as JSON: go run verdicts.go ../*.tar > verdicts.json
package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

type member struct {
	Name string `json:"name"` // each byte as the code point of that number
	Size int64  `json:"size"` // of the data
	Type string `json:"type"`
	Link string `json:"link"`
	Time int64  `json:"mtime"`
	CRC  uint32 `json:"crc32"`
}

type verdict struct {
	Members []member `json:"members"`
	Error   string   `json:"error"`
}

func latin1(text string) string {
	var runes []rune
	for _, b := range []byte(text) {
		runes = append(runes, rune(b))
	}
	return string(runes)
}

func read(path string) (found verdict) {
	found.Members = []member{}
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	for reader := tar.NewReader(file); ; {
		head, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			found.Error = err.Error()
			return
		}
		sum := crc32.NewIEEE()
		size, err := io.Copy(sum, reader)
		if err != nil {
			found.Error = fmt.Sprintf("%s, after %d bytes of %q", err, size, head.Name)
			return
		}
		found.Members = append(found.Members, member{
			latin1(head.Name), size, string(head.Typeflag), latin1(head.Linkname), head.ModTime.Unix(), sum.Sum32(),
		})
	}
}

func main() {
	verdicts := map[string]verdict{}
	for _, path := range os.Args[1:] {
		verdicts[filepath.Base(path)] = read(path)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(verdicts); err != nil {
		panic(err)
	}
}
