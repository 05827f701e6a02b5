//go:build unguarded

package engine

// guarded is off in this build, which loses exactly-once. See guard.go.
const guarded = false
