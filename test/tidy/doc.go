// Package tidy holds the house rules as tests: who may import whom, what code
// must not call, that names are documented, that links and named tests exist.
// It reads the tree and runs nothing of it. Every checker has a test of its own
// that shows what it refuses.
package tidy
