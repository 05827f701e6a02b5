//go:build unguarded

package simulation

// unguarded is on in this build; guard_on_test.go says what for.
const unguarded = true
