// Command generate makes the Go code of the .proto files. It needs no protoc:
// the files are compiled by protocompile and handed to protoc-gen-go, which is a
// tool of this module. Run it by "go generate ./schemas".
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// module is the prefix of the Go package paths that the files name.
const module = "tallystick"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, ".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes the generated files below root, which is the module's directory as
// seen from schemas, where go generate works.
func run(ctx context.Context, root string) error {
	files, err := generate(ctx, filepath.Join(root, "schemas"))
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	return nil
}

// generate returns the generated files by their path in the module. The .proto
// files are those below dir.
func generate(ctx context.Context, dir string) (map[string][]byte, error) {
	names, err := sources(dir)
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(
			&protocompile.SourceResolver{ImportPaths: []string{dir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return plugin(ctx, &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("module=" + module),
		ProtoFile:      closure(compiled),
	})
}

// sources lists the .proto files below dir, as import paths, sorted.
func sources(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "tally", "*", "*.proto"))
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("generate: no .proto file below %s", dir)
	}
	names := make([]string, len(found))
	for i, path := range found {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return nil, fmt.Errorf("generate: %w", err)
		}
		names[i] = filepath.ToSlash(rel)
	}
	slices.Sort(names)
	return names, nil
}

// closure returns the files and all that they import, imports first.
func closure(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var visit func(f protoreflect.FileDescriptor)
	visit = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			visit(f.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range files {
		visit(f)
	}
	return all
}

// plugin runs protoc-gen-go.
func plugin(ctx context.Context, req *pluginpb.CodeGeneratorRequest) (map[string][]byte, error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", "protoc-gen-go")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("generate: protoc-gen-go: %w: %s", err, complaints.Bytes())
	}
	var res pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out.Bytes(), &res); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	if res.Error != nil {
		return nil, errors.New("generate: protoc-gen-go: " + res.GetError())
	}
	files := make(map[string][]byte, len(res.File))
	for _, f := range res.File {
		files[f.GetName()] = []byte(f.GetContent())
	}
	return files, nil
}
