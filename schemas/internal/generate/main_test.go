package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestFresh proves that the committed Go code is what the .proto files say.
func TestFresh(t *testing.T) {
	const root = "../../.."
	want, err := generate(t.Context(), filepath.Join(root, "schemas"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, text) {
			t.Errorf("%s is stale: run go generate ./schemas", name)
		}
	}
	have, err := filepath.Glob(filepath.Join(root, "schemas", "tallyv1", "*.pb.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(have) != len(want) {
		t.Errorf("schemas/tallyv1 holds %d generated files, the sources make %d", len(have), len(want))
	}
}
