package tidy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// strangers are words that belong to the place where a change was made, or that
// mark what is not finished. They are put together here so that this file does
// not contain them.
var strangers = []string{
	"/wo" + "rk/", "../sha" + "red", "sha" + "red/res", "sha" + "red/ci", "sub" + "agent",
	"/ro" + "ot/", "/Us" + "ers/", "/tmp/" + "kafka", "TO" + "DO:", "TO" + "DO(", "FIX" + "ME",
	"HA" + "CK:", "GOPRO" + "XY=", "GONO" + "SUMDB", "not " + "implemented",
	"place" + "holder",
}

// TestWords reads every text in the tree but the script of the build machine,
// whose business is the place where it runs.
func TestWords(t *testing.T) {
	for _, f := range files(t, "") {
		if !utf8.Valid(f.text) || bytes.IndexByte(f.text, 0) >= 0 || f.name == ".ci/run" {
			continue
		}
		for _, complaint := range strange(f) {
			t.Error(complaint)
		}
	}
}

func strange(f file) []string {
	var out []string
	for i, line := range f.lines() {
		for _, word := range strangers {
			if strings.Contains(line, word) {
				out = append(out, fmt.Sprintf("%s:%d: %q does not belong here", f.name, i+1, word))
			}
		}
	}
	return out
}

func TestWordsRefuses(t *testing.T) {
	text := "one\ncd /wo" + "rk/x\nthree FIX" + "ME\n"
	expect(t, strange(file{"x.md", []byte(text)}), "x.md:2", "x.md:3")
}
